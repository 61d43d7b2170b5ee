"""Comparisons: from cells to results and reports, stopped, continued, extended, refused."""

import json
import shutil

import numpy as np
import polars as pl
import pytest
import torch
from grids import QUICK, inline
from safetensors.torch import load_file

from cigf.data.dataset_store import load_split, save_split
from cigf.data.synthetic import checkerboard
from cigf.errors import ArtifactError, OutputError
from cigf.evaluation.evaluator import evaluate
from cigf.experiment.cells import CellFolder, run_cell
from cigf.experiment.comparing import Comparison, open_comparison
from cigf.experiment.comparison_report import comparison_report
from cigf.experiment.entries import Entry, read_entries
from cigf.experiment.lock import only_one
from cigf.experiment.peak_memory import peak_megabytes
from cigf.experiment.training import train_run
from cigf.inference.artifact import load_artifact
from cigf.ranking import rank_counts
from cigf.training.events import Listener

MODELS = ["autorec", "lightgcn"]
NDCG = ("full", "all", "ndcg@10")


def diverging():
    (entry,) = read_entries(["dmf"], settings=[*QUICK, "training.learning_rate=1e30"])
    return entry


@pytest.fixture(scope="module")
def compared(small, tmp_path_factory):
    """Two models with two seeds, and one that diverges."""
    out = tmp_path_factory.mktemp("compared") / "out"
    comparison = Comparison(
        small, out, [*read_entries(MODELS, settings=QUICK), diverging()], range(2)
    )
    comparison.rank_rules()
    comparison.run(inline(small))
    return comparison


@pytest.fixture(scope="module")
def report(compared):
    return comparison_report(compared, jobs=3, n_bootstrap=19)


def test_every_cell_is_a_run_that_recommends(compared):
    folder = compared.out / "cells" / "lightgcn" / "seed-1"
    artifact = load_artifact(folder / "run")
    assert artifact.manifest.model == "lightgcn"
    assert artifact.manifest.metadata["seed"] == 1
    assert not (folder / "run" / "checkpoints").exists()
    outcome = CellFolder(folder).outcome()
    assert outcome.seconds > outcome.training["train_seconds"] > 0
    assert outcome.peak_mb > 100
    assert set(outcome.machine) == {"python", "platform", "n_cores", "device"}


def test_results_are_those_of_evaluating_every_run(compared, small):
    results = {result.name: result for result in compared.results()}
    assert list(results) == ["popularity", "touched-first", *MODELS, "dmf"]
    split = load_split(small)
    values = []
    for seed in range(2):
        scorer = load_artifact(compared.out / f"cells/autorec/seed-{seed}/run").scorer()
        evaluation = evaluate(lambda task, scorer=scorer: rank_counts(scorer, task), split)
        values.append(evaluation.column(*NDCG))
    measured = results["autorec"].measured
    assert measured.mean(NDCG) == pytest.approx(np.mean(values))
    assert measured.deviation(NDCG) == pytest.approx(np.mean(values, axis=1).std(ddof=1))
    np.testing.assert_allclose(measured.users(NDCG), np.mean(values, axis=0))


def test_one_that_diverges_does_not_lose_the_others(report):
    rows = {row.name: row for row in report.rows}
    assert rows["dmf"].measured is None
    assert rows["dmf"].remark.startswith("seed 0 failed: the loss became nan")
    assert len(rows["lightgcn"].measured.per_seed) == 2
    assert rows["lightgcn"].remark == ""
    assert rows["lightgcn"].seconds > 0


def test_the_best_is_a_model_and_rules_are_tested_too(report):
    tests = report.tests
    assert {each.best for each in tests} <= set(MODELS)
    assert {each.model for each in tests if each.name == NDCG} >= {"popularity", "touched-first"}


def test_the_report_says_how_it_was_measured(report, compared):
    facts = report.facts
    assert compared.fingerprint in facts["fingerprint"]
    assert facts["seeds"] == "0, 1"
    assert facts["processes at a time"] == "3"
    assert facts["threads of a process"] == str(torch.get_num_threads())
    assert "torch" in facts["versions"]


def test_what_is_finished_is_not_run_again_and_reports_stay_the_same(report, compared, small):
    def refuse(cell):
        assert cell.row == "dmf"  # what failed is tried again
        return inline(small)(cell)

    again = open_comparison(small, compared.out)
    again.run(refuse)
    after = comparison_report(again, jobs=3, n_bootstrap=19)
    assert after.tests == report.tests
    assert after.facts == report.facts


def test_rows_and_seeds_can_be_added(compared, small, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(compared.out, out)
    ran = []

    def start(cell):
        ran.append(cell.name)
        return inline(small)(cell)

    more = Comparison(small, out, read_entries(["autorec", "ngcf"], settings=QUICK), range(3))
    more.run(start)
    assert ran == ["ngcf, seed 0", "ngcf, seed 1", "autorec, seed 2", "ngcf, seed 2"]
    (result,) = [each for each in more.results() if each.name == "autorec"]
    assert len(result.measured.per_seed) == 3


def test_a_rule_among_the_rows_does_not_stand_twice(compared, small, tmp_path):
    (entry,) = read_entries(["autorec"], settings=QUICK)
    comparison = Comparison(small, tmp_path / "out", [Entry("popularity", entry.config)], [0])
    comparison.rank_rules()
    results = comparison.results()
    assert [(each.name, each.is_rule) for each in results] == [
        ("touched-first", True),
        ("popularity", True),
    ]


class StopIn(Listener):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_step(self, epoch, step, n_pairs):
        if epoch == self.epoch:
            raise KeyboardInterrupt


def test_a_half_trained_cell_goes_on_to_the_same_bits(small, tmp_path):
    (entry,) = read_entries(["lightgcn"], settings=[*QUICK, "training.epochs=4"])
    bits = []
    for name in ("whole", "parts"):
        folder = CellFolder(tmp_path / name)
        folder.begin(entry.config)
        if name == "parts":
            with pytest.raises(KeyboardInterrupt):
                train_run(small, folder.run, entry.config, device="cpu", listener=StopIn(3))
        run_cell(small, folder, "cpu")
        assert folder.is_finished()
        bits.append(load_file(folder.run / "artifact" / "model.safetensors"))
    assert all(torch.equal(bits[0][name], bits[1][name]) for name in bits[0])


def test_a_cell_killed_before_its_ranks_were_written_is_not_trained_again(
    compared, small, tmp_path, monkeypatch
):
    folder = CellFolder(tmp_path / "cell")
    shutil.copytree(compared.out / "cells" / "autorec" / "seed-0", folder.path)
    expected = pl.read_parquet(folder.ranks)
    folder.ranks.unlink()
    monkeypatch.setattr("cigf.experiment.cells.train_run", None)
    assert run_cell(small, folder, "cpu").status == "finished"
    assert pl.read_parquet(folder.ranks).equals(expected)


def test_an_error_of_the_program_is_the_cells_own(small, tmp_path, monkeypatch, capsys):
    def broken(*arguments, **options):
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr("cigf.experiment.cells.train_run", broken)
    folder = CellFolder(tmp_path)
    folder.begin(diverging().config)
    outcome = run_cell(small, folder, "cpu")
    assert (outcome.status, outcome.error) == ("failed", "ZeroDivisionError: by")
    assert folder.outcome() == outcome
    assert "Traceback" in capsys.readouterr().err


def test_other_options_are_refused_and_nothing_is_changed(compared, small):
    before = (compared.out / "comparison.json").read_bytes()
    entries = read_entries(["autorec"], settings=["training.epochs=7"])
    with pytest.raises(ArtifactError, match=r"autorec/seed-0 holds a run with other options"):
        Comparison(small, compared.out, entries, [0])
    assert (compared.out / "comparison.json").read_bytes() == before


def test_another_dataset_is_refused(compared, tmp_path):
    save_split(checkerboard(), tmp_path / "other")
    with pytest.raises(OutputError, match="holds a comparison on other data"):
        Comparison(tmp_path / "other", compared.out, read_entries(["autorec"]), [0])


@pytest.mark.parametrize("content", [None, "{}", "{"])
def test_a_folder_of_something_else_is_refused(small, tmp_path, content):
    (tmp_path / "thesis.tex").write_text("x")
    if content is not None:
        (tmp_path / "comparison.json").write_text(content)
    with pytest.raises(OutputError, match="is not the folder of a comparison"):
        Comparison(small, tmp_path, read_entries(["autorec"]), [0])


def test_ranks_of_other_pairs_are_refused(compared, small, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(compared.out, out)
    ranks = out / "cells" / "autorec" / "seed-0" / "ranks.parquet"
    pl.read_parquet(ranks).head(3).write_parquet(ranks)
    with pytest.raises(ArtifactError, match=r"ranks of 3 pairs, the dataset holds out \d+"):
        open_comparison(small, out).results()


def test_the_order_of_the_ranks_is_that_of_the_pairs(compared, small):
    pairs = pl.read_parquet(compared.out / "pairs.parquet")
    held_out = load_split(small).test["buy"]
    assert pairs.height == len(held_out)
    assert pairs["user_id"][3] == load_split(small).train.users.external(held_out.users)[3]
    state = json.loads((compared.out / "comparison.json").read_text())
    assert state["rows"] == [*MODELS, "dmf"]


def test_two_processes_do_not_share_a_folder(tmp_path):
    held = only_one(tmp_path)
    refused = pytest.raises(OutputError, match="another process is at work in it")
    with held, refused, only_one(tmp_path):
        pass
    with only_one(tmp_path):
        pass


def test_peak_memory(tmp_path):
    status = tmp_path / "status"
    status.write_text("VmPeak:\t9999 kB\nVmHWM:\t  2048 kB\n")
    assert peak_megabytes(status) == 2.0
    status.write_text("Name: x\n")
    assert peak_megabytes(status) is None
    assert peak_megabytes(tmp_path / "nowhere") > 50
