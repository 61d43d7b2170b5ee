import json

import pytest
from typer.testing import CliRunner

import cigf.cli.demo as demo
import cigf.cli.demo_steps as steps
from cigf.cli.main import app


@pytest.fixture
def small(monkeypatch):
    for name, size in (("N_USERS", 61), ("N_ITEMS", 83), ("N_EVENTS", 4001)):
        monkeypatch.setattr(steps, name, size)
    monkeypatch.setattr(demo, "SETTINGS", ("training.epochs=2", "training.evaluate_every=1"))


def test_the_demo_shows_everything_once(tmp_path, small):
    out = tmp_path / "demo"
    result = CliRunner().invoke(app, ["demo", "--out", str(out)])
    assert result.exit_code == 0, result.stderr
    assert {path.name for path in out.iterdir()} == {"events.csv", "dataset", "run", "report.html"}
    for part in ("4,001 events", "61 users", "touched_first", "-> bring back", "-> discover"):
        assert part in " ".join(result.stdout.split())
    assert result.stdout.count("user u") == steps.N_EXAMPLES
    assert "epoch 2/2" in result.stderr
    assert result.stderr.splitlines()[-1] == ("    cigf report RUN --out report.html")
    page = (out / "report.html").read_text()
    assert page.count("<figure>") >= 6
    assert "→ discover" in page
    assert '<h2 id="data">' in page
    evaluation = json.loads((out / "run" / "evaluation.json").read_text())
    assert evaluation["metrics"]["full"]["all"]["hr@10"] >= 0


def test_the_same_seed_shows_the_same(tmp_path, small):
    shown = []
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        out = tmp_path / name
        result = CliRunner().invoke(app, ["demo", "--out", str(out), "--seed", seed])
        artifact = (out / "run" / "artifact" / "model.safetensors").read_bytes()
        shown.append((result.stdout.replace(str(out), "OUT"), artifact))
    assert shown[0][1] == shown[1][1]
    assert shown[0][1] != shown[2][1]


def test_an_existing_folder_is_replaced_only_by_force(tmp_path, small):
    (tmp_path / "demo").mkdir()
    result = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "demo")])
    assert result.exit_code == 2
    assert "exists already" in result.stderr
    assert result.stdout == ""
    result = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "demo"), "--force"])
    assert result.exit_code == 0
