import json

import polars as pl
import pytest

from command_line import fails, run


@pytest.fixture
def later(events, tmp_path):
    log = pl.read_csv(events).filter(pl.col("user_id").is_in(["u03", "u17"]))
    later = log.with_columns(pl.lit("tea-99").alias("item_id")).rename({"user_id": "who"})
    known = later.with_columns(pl.lit(log["item_id"][0]).alias("item_id"))
    pl.concat([later, known]).write_csv(tmp_path / "later.csv")
    return tmp_path / "later.csv"


def test_update_prints_both_models_and_writes_a_run(trained, later, tmp_path):
    out = tmp_path / "run2"
    options = ("--user-col", "who", "--epochs", 1, "--bootstrap", 20)
    result = run("update", trained, later, "--out", out, *options)
    assert "New pairs: " in result.stderr
    assert "new users: 0, new items: 1" in result.stderr
    assert "epoch 1/1" in result.stderr
    assert f"Wrote {out}" in result.stderr
    assert json.loads((out / "update.json").read_text())["new"]["items"] == 1
    if json.loads((out / "update.json").read_text())["audiences"]:
        assert "before, folded in" in result.stdout
        assert "known users: after less before" in result.stderr
    run("recommend", out, "--user", "u03", "--k", 3)
    options = (*options, "--json", "--force", "--bootstrap", 0)
    printed = json.loads(run("update", trained, later, "--out", out, *options).stdout)
    assert printed["run"] == str(out)


def test_update_refuses(trained, later, tmp_path):
    out = tmp_path / "run2"
    assert "EVENTS: none given" in fails("update", trained, "--out", out)
    assert "did you mean" in fails("update", trained, later, "--out", out, "--user-col", "whoo")
    assert "exists already" in fails("update", trained, later, "--out", trained)
    assert not out.exists()
