import json

import numpy as np
import polars as pl
import pytest
import torch

from cigf.data.dataset_store import load_split
from cigf.data.options import ReadOptions
from cigf.errors import ArtifactError, ConfigError, DataError, OutputError
from cigf.experiment.evaluating import evaluate_run
from cigf.experiment.reporting import write_report
from cigf.experiment.updating import update_run
from cigf.inference.recommender import TrainedRecommender
from cigf.training.events import Listener
from command_line import run as command

LAST = 2_000_000_000_000


@pytest.fixture(scope="module")
def later(events):
    """What 20 known users and a new one did afterward, with a new item too."""
    log = pl.read_csv(events)
    users = log["user_id"].unique().sort().head(20).to_list()
    items = log["item_id"].unique().sort().to_list()
    rows = [
        (user, items[(7 * n + 11 * step) % len(items)], behavior, LAST + 10 * n + step)
        for n, user in enumerate([*users, "newcomer"])
        for step in range(3)
        for behavior in ("view", "buy")[: 1 + (step > 0)]
    ]
    rows += [(users[0], "brand-new", "buy", LAST + 900), ("newcomer", "brand-new", "view", LAST)]
    columns = ["user_id", "item_id", "behavior", "timestamp"]
    return pl.DataFrame(rows, schema=columns, orient="row")


@pytest.fixture(scope="module")
def updated(trained, later, tmp_path_factory):
    out = tmp_path_factory.mktemp("updated") / "run"
    return out, update_run(trained, later, out, epochs=2, n_bootstrap=50)


def test_the_new_run_knows_everything_and_old_rows_stay(updated, trained, later):
    old, new = (TrainedRecommender.load(path) for path in (trained, updated[0]))
    assert new.users.head(len(old.users)).to_list() == old.users.to_list()
    assert new.items.head(len(old.items)).to_list() == old.items.to_list()
    assert set(new.users) - set(old.users) == {"newcomer"}
    assert set(new.items) - set(old.items) == {"brand-new"}
    for user in ("newcomer", later["user_id"][0]):
        did = set(new.history(user).rows())
        assert set(later.filter(user_id=user).select("behavior", "item_id").rows()) <= did
        bought = {item for behavior, item in did if behavior == "buy"}
        assert not bought & set(new.recommend([user], 50)["item_id"])
    assert updated[1]["new"]["users"] == 1
    assert updated[1]["new"]["items"] == 1
    assert updated[1]["n_events"] == later.height


def test_the_new_run_is_a_run_like_any_other(updated, tmp_path):
    out, result = updated
    assert json.loads((out / "update.json").read_text()) == result
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 2
    judged = evaluate_run(out, n_bootstrap=0)
    assert judged["n"]["all"] == result["held_out"]
    facts = write_report(out, tmp_path / "report.html", n_bootstrap=20)
    assert facts.quality.n_pairs["all"] == result["held_out"]
    served = TrainedRecommender.load(out)
    again = served.fold_in({}, user="newcomer").vectors
    row = served.artifact.history.users.row("newcomer")
    assert again.shape == served.artifact.representations.users[row : row + 1].shape


def figures(scores, split, n_items, users):
    """HR@10 and NDCG@10 of the held-out pairs of some users, ranked one by one."""
    held_out = split.test["buy"]
    ranks = []
    for user, item in zip(held_out.users, held_out.items, strict=True):
        if user not in users:
            continue
        own = scores(user)[:n_items].copy()
        seen = split.train.target[[user]].indices
        wanted = own[item]
        own[seen[seen < n_items]] = -np.inf
        own[item] = -np.inf
        ranks.append(1 + int((own >= wanted).sum()))
    ranks = np.array(ranks)
    return {"hr@10": np.mean(ranks <= 10), "ndcg@10": np.mean((ranks <= 10) / np.log2(ranks + 1))}


def test_old_and_new_model_are_judged_on_the_same_pairs(updated, trained):
    out, result = updated
    old, new = (TrainedRecommender.load(path).artifact for path in (trained, out))
    split, n_items = load_split(out / "dataset"), old.history.n_items
    known, newcomer = range(old.history.n_users), [old.history.n_users]
    found = result["audiences"]
    assert found["known users"]["n"]["all"] == 20
    assert found["new users"]["n"]["all"] == 1

    def scores(artifact):
        return lambda user: artifact.scorer().block(torch.tensor([user]))[0].numpy()

    for name, users, scorer, artifact in (
        ("known users", known, "before", old),
        ("known users", known, "after", new),
        ("new users", newcomer, "after", new),
    ):
        expected = figures(scores(artifact), split, n_items, users)
        measured = found[name]["metrics"][scorer]["all"]
        assert {key: measured[key] for key in expected} == pytest.approx(expected)


def test_users_folded_in_are_those_of_the_old_model_with_all_they_did(updated, trained):
    out, result = updated
    old, split = TrainedRecommender.load(trained), load_split(out / "dataset")
    n_items = old.artifact.history.n_items

    def scores(user):
        parts = [
            pl.DataFrame(
                {"item_id": split.train.items.external(matrix[[user]].indices)}
            ).with_columns(behavior=pl.lit(name))
            for name, matrix in zip(split.train.behaviors, split.train.interactions, strict=True)
        ]
        events, who = pl.concat(parts), split.train.users.ids[int(user)]
        lists = old.recommend_for(events, n_items, user=who, history="replace", exclude=[])
        rows = old.artifact.history.items.find(lists["item_id"])
        ordered = np.empty(n_items)
        ordered[rows] = lists["score"]
        return ordered

    for name, users in (("known users", range(61)), ("new users", [61])):
        measured = result["audiences"][name]["metrics"]["before, folded in"]["all"]
        expected = figures(scores, split, n_items, users)
        assert {key: measured[key] for key in expected} == pytest.approx(expected)


def test_the_difference_is_that_of_the_means(updated):
    found = updated[1]["audiences"]["known users"]
    difference = found["difference"]
    means = {name: metrics["all"]["ndcg@10"] for name, metrics in found["metrics"].items()}
    best = max(("before", "before, folded in"), key=means.__getitem__)
    assert difference["against"] == best
    assert difference["mean"] == pytest.approx(means["after"] - means[best])
    assert difference["low"] <= difference["mean"] <= difference["high"]


def test_a_run_is_replaced_by_its_update_only_by_force(updated, later, tmp_path):
    run = tmp_path / "run"
    command("export", updated[0], "--format", "parquet", "--out", tmp_path / "x")  # it is loadable
    more = later.with_columns(item_id=pl.lit("later-still"))
    update_run(updated[0], more, run, epochs=1, n_bootstrap=0)
    with pytest.raises(OutputError, match="exists already"):
        update_run(run, later, run)
    again = more.with_columns(item_id=pl.lit("last"))
    update_run(run, again, run, epochs=1, n_bootstrap=0, force=True)
    items = TrainedRecommender.load(run).items
    assert items.tail(2).to_list() == ["later-still", "last"]
    assert {path.name for path in tmp_path.iterdir()} == {"run", "x"}


def test_a_run_that_fails_on_the_way_leaves_the_old_one(updated, later, tmp_path):
    class Stop(Listener):
        def on_epoch(self, record):
            raise KeyboardInterrupt

    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").touch()
    with pytest.raises(KeyboardInterrupt):
        update_run(
            updated[0], later.with_columns(item_id=pl.lit("x")), out, force=True, listener=Stop()
        )
    assert [path.name for path in out.iterdir()] == ["mine"]
    assert list(tmp_path.iterdir()) == [out]


def test_a_model_without_fold_in_and_with_nothing_held_out(events, tmp_path, later):
    options = ("--split", "none", "--valid-share", 0)
    command("data", "prepare", events, "--out", tmp_path / "dataset", *options)
    quick = ("--set", "training.epochs=1")
    command("train", tmp_path / "dataset", "--out", tmp_path / "run", "--model", "lightgcn", *quick)
    result = update_run(tmp_path / "run", later, tmp_path / "a", epochs=1, n_bootstrap=0)
    assert set(result["audiences"]["known users"]["metrics"]) == {
        "popularity", "touched_first", "before", "after",
    }  # fmt: skip
    assert result["audiences"]["known users"]["difference"] is None
    views = later.filter(behavior="view")
    result = update_run(tmp_path / "run", views, tmp_path / "b", epochs=1)
    assert result["audiences"] == {}
    assert result["held_out"] == 0


def test_a_model_computed_in_one_go_is_computed_anew(events, dataset, tmp_path, later):
    command("train", dataset, "--out", tmp_path / "run", "--model", "item-knn")
    result = update_run(tmp_path / "run", later, tmp_path / "new", n_bootstrap=0)
    metrics = result["audiences"]["known users"]["metrics"]
    assert set(metrics) >= {"before", "before, folded in", "after"}
    assert "brand-new" in set(TrainedRecommender.load(tmp_path / "new").items)


def test_events_without_times_are_taken_too(trained, later, tmp_path):
    options = ReadOptions(time_col="")
    result = update_run(trained, later, tmp_path / "run", options, epochs=1, n_bootstrap=0)
    assert "one random new pair (the events have no times)" in result["protocol"]


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (ConfigError, "epochs: 0 given", {"epochs": 0}),
        (ConfigError, "device 'tpu' is unknown", {"device": "tpu"}),
        (DataError, "not a dataset folder", {"dataset": "nowhere"}),
        (DataError, "unknown behavior 'lend'", {"behavior": "lend"}),
        (DataError, "nothing new", {"known": True}),
    ],
)
def test_what_is_wrong_is_said_and_nothing_written(
    trained, events, later, tmp_path, error, message, arguments
):
    options = dict(arguments)
    given = pl.read_csv(events).head(5) if options.pop("known", False) else later
    if "behavior" in options:
        given = given.with_columns(behavior=pl.lit(options.pop("behavior")))
    if "dataset" in options:
        options["dataset"] = tmp_path / options["dataset"]
    with pytest.raises(error, match=message):
        update_run(trained, given, tmp_path / "run", **options)
    assert list(tmp_path.iterdir()) == []


def test_only_a_run_can_be_updated(later, tmp_path):
    with pytest.raises(ArtifactError, match="not the folder of a run"):
        update_run(tmp_path / "nothing", later, tmp_path / "run")
