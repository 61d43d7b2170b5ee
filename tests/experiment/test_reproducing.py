"""A reproduction on a toy dataset: one grid of runs, every kind of table and figure from it."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from grids import QUICK, inline

from cigf.analysis.gates import expert_utilization
from cigf.analysis.user_groups import correlation_groups
from cigf.data.dataset_store import load_split, save_split
from cigf.errors import ConfigError
from cigf.experiment.experiments import EXPERIMENTS, Variant, choose
from cigf.experiment.reproducing import plan, reproduce
from cigf.inference.artifact import load_artifact
from cigf.reports.published import SIZES

WHOLE = ["table-3", "table-6", "figure-2", "figure-9", "figure-10", "gradient-conflicts"]
CUT = ["tables-7-8", "figure-8"]
TWO = (Variant("ghcf", "ghcf"), Variant("CIGF"))


@pytest.fixture(scope="module")
def made(small, tmp_path_factory):
    out = tmp_path_factory.mktemp("reproduced") / "out"
    settings = [*QUICK[1:], "training.epochs=1"]
    chosen = choose(WHOLE) + [replace(each, variants=TWO) for each in choose(CUT)]
    found = plan(chosen, small, out, n_seeds=1, settings=settings)
    found.comparison.rank_rules()
    found.comparison.run(inline(small))
    return found


@pytest.fixture(scope="module")
def reproduced(made):
    return reproduce(made, jobs=1)


def part(reproduced, name):
    (found,) = [each for each in reproduced.parts if each.name == name]
    return found


def numbers(reproduced, name):
    return part(reproduced, name).frames["numbers"]


def rows_of(table):
    return [row[0] for row in table.rows]


def test_runs_are_shared_by_the_experiments(made):
    rows = [entry.name for entry in made.comparison.entries]
    assert len(rows) == len(set(rows))
    assert made.rows["table-3"]["cigf,head=bilinear"] == "w/o MESI"
    assert made.rows["gradient-conflicts"]["cigf,head=bilinear"] == "bilinear"
    assert all(cell.folder.is_finished() for cell in made.comparison.cells)


def test_tables_of_quality_have_the_papers_rows_beside_the_rules(reproduced):
    found = part(reproduced, "table-3")
    labels = [variant.label for variant in EXPERIMENTS["table-3"].variants]
    for table in found.tables[:2]:
        assert rows_of(table) == ["popularity", "touched-first", *labels]
    assert set(found.frames["numbers"]["model"]) == {"popularity", "touched-first", *labels}
    tested = found.tables[2]
    best = tested.caption.rsplit(" ", 1)[-1]
    assert set(rows_of(tested)) | {best} <= {
        "popularity",
        "touched-first",
        *labels,
        "CIGCN",
        "MESI",
    }
    assert len(tested.rows) == len(labels) + 1  # all but the best


def test_relations_have_every_order_and_walk(reproduced):
    frame = numbers(reproduced, "table-6")
    assert frame.group_by("order").len().sort("order").rows() == [(2, 9), (3, 27)]
    assert frame["relation"].n_unique() == 36
    shown = part(reproduced, "table-6").tables[0]
    assert len(shown.rows) == 12


def test_gates_are_those_of_the_trained_model(made, reproduced, small):
    frame = numbers(reproduced, "figure-9")
    assert set(frame["model"]) == {"MESI", "MMOE", "PLE"}
    sums = frame.group_by("model").agg(pl.col("weight").sum())
    np.testing.assert_allclose(sums["weight"], 1.0, rtol=1e-5)
    (folder,) = made.comparison.finished("cigf")
    artifact = load_artifact(folder.run)
    pairs = load_split(small).test["buy"]
    behaviors = artifact.history.behaviors
    one = expert_utilization(
        artifact.model, artifact.representations, pairs.users, pairs.items, behaviors, ["buy"]
    )
    own = frame.filter(pl.col("model") == "MESI")
    assert own["weight"].to_list() == pytest.approx(one["weight"].to_list())


def test_groups_of_users_are_those_of_the_analysis(made, reproduced, small):
    frame = numbers(reproduced, "figure-8")
    split = load_split(small)
    users = np.unique(split.test["buy"].users)
    groups = correlation_groups(split.history("test"), users)
    (result,) = [each for each in made.comparison.results() if each.name == "ghcf"]
    values = result.measured.users(("1+99", "all", "ndcg@10"))
    own = frame.filter((pl.col("model") == "ghcf") & (pl.col("protocol") == "1+99")).sort("group")
    expected = [values[groups.group == number].mean() for number in range(groups.n_groups)]
    assert own["ndcg@10"].to_list() == pytest.approx(expected)
    assert "CIGF" in set(frame["model"])


def test_gradients_of_all_heads_are_compared(reproduced):
    frame = numbers(reproduced, "gradient-conflicts")
    assert set(frame["model"]) == {"shared bottom", "bilinear", "MESI", "MMOE", "PLE"}
    assert frame["cosine"].abs().max() <= 1.0
    assert frame.filter(pl.col("model") == "MESI").height == 9  # 3 inputs, 3 pairs of behaviors


def test_seconds_are_measured_per_epoch(reproduced):
    frame = numbers(reproduced, "tables-7-8")
    assert frame["model"].to_list() == ["ghcf", "CIGF"]
    assert (frame["train"] > 0).all()
    assert (frame["test"] > 0).all()


def test_figures_of_the_data_need_no_model(small, tmp_path):
    found = reproduce(plan(choose(["figure-2", "figure-10"]), small, tmp_path / "out"))
    assert [list(each.drawings) for each in found.parts] == [["activity"], ["overlaps"]]
    assert [heading for heading, _ in found.deviations] == ["Other data."]


def test_deviations_are_named(reproduced, made):
    found = dict(reproduced.deviations)
    assert found["Epochs."] == "The paper trains 100; here at most 1."
    assert found["Seeds."] == "The paper's figures are means of 5 runs; 1 here."
    assert "experiments/matched" in found["Settings."]
    assert "ghcf" in found["Dimension."]


def test_what_is_missing_is_said(small, tmp_path):
    found = reproduce(plan(choose(["table-6"]), small, tmp_path / "out", n_seeds=2))
    assert dict(found.deviations)["Unfinished runs."] == "2 of 2 have not ended."
    assert found.parts[0].tables[0].rows == []


def test_models_that_cannot_take_the_data_are_left_out(small, tmp_path):
    split = load_split(small)
    train = replace(
        split.train,
        behaviors=type(split.train.behaviors)(("buy",)),
        interactions=split.train.interactions[-1:],
        times=split.train.times[-1:],
    )
    save_split(replace(split, train=train, withheld=split.withheld[-1:]), tmp_path / "data")
    found = plan(choose(["tables-7-8"]), tmp_path / "data", tmp_path / "out", n_seeds=1)
    assert "several behaviors" in found.left_out["ghcf"]
    assert list(found.rows["tables-7-8"].values()) == ["CIGF"]
    assert "Without ghcf." in dict(reproduce(found).deviations)


def test_settings_of_the_model_are_cigfs_alone(small, tmp_path):
    settings = ["model.score_scale=7.0", "training.epochs=3"]
    found = plan(choose(["tables-7-8"]), small, tmp_path / "out", settings=settings)
    configs = {entry.name: entry.config for entry in found.comparison.entries}
    assert configs["cigf"].model.score_scale == 7.0
    assert {config.training.epochs for config in configs.values()} == {3}
    with pytest.raises(ConfigError, match="score_scal is not an option"):
        plan(choose(["table-6"]), small, tmp_path / "x", settings=["model.score_scal=7.0"])


def test_the_papers_figures_stand_beside_ours_on_its_data(made, monkeypatch):
    train = made.comparison.split.train
    monkeypatch.setitem(SIZES, "Taobao", (train.n_users, train.n_items))
    wanted = [each for each in made.experiments if each.name in ("table-3", "tables-7-8")]
    found = reproduce(replace(made, experiments=wanted))
    beside = part(found, "table-3").tables[0]
    assert {row[0]: row[2] for row in beside.rows}["w/o MESI"] == ".5280"
    assert {row[0]: row[4] for row in beside.rows}["CIGF"] == ".3830"
    curves = [curve.name for curve in part(found, "table-3").plots[0].curves]
    assert curves == ["HR@10 here", "HR@10 paper", "NDCG@10 here", "NDCG@10 paper"]
    seconds = {row[0]: row[3] for row in part(found, "tables-7-8").tables[0].rows}
    assert seconds["CIGF"] == "16.78"
    assert "not all behaviors are here" in dict(found.deviations)["Data."]
