import polars as pl
import pytest

from command_line import N_USERS, fails, run


@pytest.mark.parametrize("format", ["parquet", "safetensors", "onnx", "faiss"])
def test_export_writes_and_says_what(trained, tmp_path, format):
    out = tmp_path / "out"
    result = run("export", trained, "--format", format, "--out", out, "--behavior", "cart")
    assert result.stdout == ""
    assert result.stderr == f"Wrote {out}\n"
    assert out.exists()
    assert "exists already" in fails("export", trained, "--format", format, "--out", out)
    run("export", trained, "--format", format, "--out", out, "--force")


def test_export_keeps_the_ids_of_the_log(trained, tmp_path):
    run("export", trained, "--format", "parquet", "--out", tmp_path / "out")
    users = pl.read_parquet(tmp_path / "out" / "users.parquet")
    assert users.height == N_USERS
    assert users["user_id"].str.starts_with("u").all()
