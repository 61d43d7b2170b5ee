"""cigf tune."""

import json
import re

from cigf.errors import DivergedError
from cigf.experiment.config import load_experiment
from command_line import fails, run

SPACE = """
model = "autorec"
[fixed.training]
epochs = 1
evaluate_every = 1
[fixed.model]
hidden_size = 4
[space.training]
learning_rate = { type = "float", low = 1e-3, high = 1e-1, log = true }
"""


def test_tune_says_what_it_tried_and_what_comes_next(dataset, tmp_path):
    space, out = tmp_path / "space.toml", tmp_path / "study"
    space.write_text(SPACE)
    result = run("tune", dataset, "--space", space, "--trials", 2, "--out", out)
    assert re.search(r"trial 1: complete  0\.\d+  best 0\.\d+ \([01]\)", result.stderr)
    assert f"cigf train {dataset} --out RUN --config {out / 'best.toml'}" in result.stderr
    assert "training.learning_rate=" in result.stdout
    again = run("tune", dataset, "--space", space, "--trials", 2, "--out", out, "--json")
    values = json.loads(again.stdout)
    assert len(values["trials"]) == 2
    rate = values["best"]["options"]["training.learning_rate"]
    assert load_experiment(out / "best.toml").training.learning_rate == rate
    assert "trial 0" not in again.stderr  # nothing was left to try


def test_tune_without_a_complete_trial_says_so(dataset, tmp_path, monkeypatch):
    def diverge(*arguments, **options):
        raise DivergedError("the loss became nan")

    monkeypatch.setattr("cigf.experiment.tuning.fit_split", diverge)
    space = tmp_path / "space.toml"
    space.write_text(SPACE)
    result = run("tune", dataset, "--space", space, "--trials", 1, "--out", tmp_path / "study")
    assert "trial 0: failed  -  best -" in result.stderr
    assert "no trial is complete" in result.stderr


def test_tune_refuses_and_writes_nothing(dataset, tmp_path):
    message = fails("tune", dataset, "--space", tmp_path / "no.toml", "--out", tmp_path / "study")
    assert "no such configuration file" in message
    assert not (tmp_path / "study" / "study.db").exists()


def test_a_study_stopped_by_control_c_says_how_to_go_on(dataset, tmp_path, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("cigf.experiment.tuning.tune", interrupted)
    options = ("--space", tmp_path / "space.toml", "--out", tmp_path / "study")
    message = fails("tune", dataset, *options, code=130)
    assert message.endswith("Go on with the same command")
