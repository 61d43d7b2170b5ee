"""cigf reproduce."""

import pytest
from test_compare import in_process  # noqa: F401  (a fixture)

from command_line import fails, run


@pytest.mark.usefixtures("in_process")
def test_reproduce_trains_what_is_needed_and_writes_a_page(dataset, tmp_path):
    out = tmp_path / "out"
    options = ("--data", dataset, "--out", out, "--seeds", 1, "--epochs", 1)
    options += ("--set", "training.evaluate_every=1")
    result = run("reproduce", "table-6", "figure-2", *options)
    assert "cigf,n_layers=3, seed 0: started" in result.stderr
    assert "The paper trains 100; here at most 1." in result.stderr
    assert f"Wrote {out / 'table-6'}" in result.stderr
    assert "Table 6: relations by attention weight" in result.stdout
    for name in ("report.html", "report.md", "table-6/relations.svg", "figure-2/activity.png"):
        assert (out / name).exists()
    again = run("reproduce", "table-6", *options)
    assert "1 of 1 runs are finished already" in again.stderr


def test_reproduce_refuses_what_it_does_not_know(dataset, tmp_path):
    message = fails("reproduce", "table-9", "--data", dataset, "--out", tmp_path / "out")
    assert "experiment 'table-9' is unknown; did you mean table-" in message
    assert not (tmp_path / "out").exists()


def test_quick_is_one_seed_and_few_epochs(dataset, tmp_path):
    options = ("--data", dataset, "--out", tmp_path / "out", "--quick", "--only-report")
    result = run("reproduce", "figure-6", "figure-7", *options)
    assert "8 of 8 have not ended" in result.stderr
    assert "here at most 5" in result.stderr
