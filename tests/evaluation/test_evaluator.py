import json
import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from cigf.data.behaviors import Behaviors
from cigf.data.dataset import Dataset, build_matrix
from cigf.data.ids import IdMap
from cigf.data.splitting import Candidates, HeldOut, Split
from cigf.data.tasks import RankCounts
from cigf.errors import ConfigError, DataError, OutputError
from cigf.evaluation import evaluate, evaluation_task, lookup

USERS, ITEMS = ("ann", "bob", "cy", "dee"), (10, 20, 30, 40, 50, 60, 70)
VIEWS = [(0, 0), (0, 1), (0, 2), (2, 4), (2, 5)]
BUYS = [(0, 0), (1, 3)]
WITHHELD = [(1, 6)]
# ann has two held-out items, 1 (touched) and 5 (new); bob has 2 and cy 4 (touched).
HELD = [(0, 1), (0, 5), (1, 2), (2, 4)]


def matrix(pairs):
    users, items = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return build_matrix(users, items, (len(USERS), len(ITEMS)))


def held_out(pairs):
    users, items = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return HeldOut(users, items)


@pytest.fixture
def split():
    train = Dataset(
        Behaviors(("view", "buy")),
        IdMap(pl.Series(USERS), "user"),
        IdMap(pl.Series(ITEMS), "item"),
        (matrix(VIEWS), matrix(BUYS)),
        (None, None),
    )
    return Split(
        train,
        (matrix([]), matrix(WITHHELD)),
        {"buy": held_out(WITHHELD)},
        {"buy": held_out(HELD)},
    )


def fixed_rank(task):
    """Counts that were written down, for the four pairs of HELD."""
    assert task.is_touched.tolist() == [True, False, False, True]
    return RankCounts(
        task.is_touched,
        full_all=np.array([0, 3, 1, 11]),
        full_group=np.array([0, 2, 0, 1]),
        sampled_all=np.array([1, 0, 2, 4]),
        sampled_group=np.array([0, 1, 2, 0]),
    )


def test_full_is_one_ranking_per_user_with_all_her_items(split):
    evaluation = evaluate(fixed_rank, split, ks=(2, 10))
    # ann's items stand at 1 and 4, bob's at 2, cy's at 12.
    ideal = 1 + 1 / math.log2(3)
    np.testing.assert_allclose(
        evaluation.column("full", "all", "ndcg@10"),
        [(1 + 1 / math.log2(5)) / ideal, 1 / math.log2(3), 0.0],
    )
    np.testing.assert_allclose(evaluation.column("full", "all", "recall@2"), [0.5, 1, 0])
    np.testing.assert_allclose(evaluation.column("full", "all", "mrr"), [1, 1 / 2, 1 / 12])


def test_sampled_is_one_ranking_per_pair_averaged_per_user(split):
    evaluation = evaluate(fixed_rank, split, ks=(1,))
    np.testing.assert_allclose(evaluation.column("1+99", "all", "mrr"), [0.75, 1 / 3, 1 / 5])
    np.testing.assert_allclose(evaluation.column("1+99", "all", "hr@1"), [0.5, 0, 0])
    np.testing.assert_allclose(evaluation.column("1+99", "new", "mrr"), [1 / 2, 1 / 3, np.nan])


def test_groups_use_their_own_counts_and_pairs(split):
    evaluation = evaluate(fixed_rank, split)
    np.testing.assert_allclose(evaluation.column("full", "touched", "mrr"), [1, np.nan, 1 / 2])
    np.testing.assert_allclose(evaluation.column("full", "new", "mrr"), [1 / 3, 1, np.nan])
    assert evaluation.n_pairs == {"all": 4, "touched": 2, "new": 2}
    means = evaluation.means()
    assert lookup(means, "mrr/full/touched") == pytest.approx(3 / 4)
    assert lookup(means, "mrr/full/all") == lookup(means, "mrr/full")
    assert lookup(means, "mrr/1+99") == pytest.approx((0.75 + 1 / 3 + 1 / 5) / 3)


def test_json_has_the_shape_of_the_result(split):
    evaluation = evaluate(fixed_rank, split, ks=(1, 10))
    result = evaluation.to_json(evaluation.intervals(np.random.default_rng(0), n_bootstrap=17))
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert result["n"] == {"all": 4, "touched": 2, "new": 2}
    assert list(result["metrics"]) == ["full", "1+99"]
    for groups in (*result["metrics"].values(), *result["intervals"].values()):
        assert list(groups) == ["all", "touched", "new"]
        for metrics in groups.values():
            names = ["hr@1", "hr@10", "ndcg@1", "ndcg@10", "mrr"]
            names += ["recall@1", "recall@10", "precision@1", "precision@10"]
            assert list(metrics) == names
    low, high = result["intervals"]["full"]["all"]["mrr"]
    assert low <= result["metrics"]["full"]["all"]["mrr"] <= high
    assert "intervals" not in evaluation.to_json()


def test_an_empty_group_has_no_means(split):
    def rank(task):
        zeros = np.zeros(len(task), dtype=np.int64)
        return RankCounts(np.zeros(len(task), dtype=bool), zeros, zeros)

    evaluation = evaluate(rank, split, protocols=("full",))
    assert evaluation.to_json()["metrics"]["full"]["touched"]["mrr"] is None
    with pytest.raises(DataError, match="'mrr/full/touched' has no value: no touched pair"):
        lookup(evaluation.means(), "mrr/full/touched")


def test_the_table_has_a_row_per_user_in_external_ids(split, tmp_path):
    evaluation = evaluate(fixed_rank, split, protocols=("full",), metrics=("mrr",))
    path = tmp_path / "users.parquet"
    evaluation.to_parquet(path)
    table = pl.read_parquet(path)
    assert table["user_id"].to_list() == ["ann", "bob", "cy"]
    assert table["mrr/full/touched"].to_list() == [1.0, None, 0.5]
    assert table.columns == ["user_id", "mrr/full/all", "mrr/full/touched", "mrr/full/new"]
    with pytest.raises(OutputError, match="exists already"):
        evaluation.to_parquet(path, force=False)


def test_validation_is_judged_with_training_only_and_test_with_all_but_test(split):
    test, valid = evaluation_task(split).task, evaluation_task(split, part="valid").task
    assert test.seen.toarray().sum() == len(BUYS) + len(WITHHELD)
    assert valid.seen.toarray().sum() == len(BUYS)
    assert (valid.users.tolist(), valid.items.tolist()) == ([1], [6])


def test_stored_candidates_are_used_and_missing_ones_drawn(split):
    drawn = np.full((len(HELD), 3), 6, dtype=np.int32)
    stored = replace(split, candidates={("test", "buy", 5): Candidates(drawn, drawn)})
    assert evaluation_task(stored, candidate_seed=5).task.candidates.all is drawn
    first, again, other = (
        evaluation_task(stored, candidate_seed=seed).task.candidates.all for seed in (1, 1, 2)
    )
    assert first.shape == (len(HELD), 99)
    np.testing.assert_array_equal(first, again)
    assert (first >= 0).sum(axis=1).tolist() == [4, 4, 4, 6]
    assert other.shape == first.shape


def test_full_alone_needs_no_candidates(split):
    task = evaluation_task(split, protocols=("full",))
    assert task.task.candidates is None
    assert task.protocols == ("full",)


def test_a_behavior_without_held_out_pairs_is_refused(split):
    with pytest.raises(DataError, match=r"test: no pairs of behavior 'view' are held out; .*: buy"):
        evaluation_task(split, behavior="view")
    with pytest.raises(DataError, match="behavior 'by' is not in this dataset; did you mean buy"):
        evaluation_task(split, behavior="by")
    with pytest.raises(DataError, match=r"valid: .*held out are those of: none"):
        evaluation_task(replace(split, valid={}), part="valid")


def test_unknown_protocols_are_refused(split):
    with pytest.raises(ConfigError, match="protocol 'ful' is not known; did you mean full"):
        evaluation_task(split, protocols=("ful",))
    with pytest.raises(ConfigError, match="protocols: none given"):
        evaluation_task(split, protocols=())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ndcg@10", "must have the form metric/protocol"),
        ("ndcg@10/half", "must have the form metric/protocol"),
        ("ndcg@10/full/old", "must have the form metric/protocol"),
        ("ndcg@10/full/new/x", "must have the form metric/protocol"),
        ("ndcg@11/full", "'ndcg@11/full' was not measured; did you mean ndcg@1"),
        ("ndcg@10/1+99", "was not measured"),
    ],
)
def test_names_that_cannot_be_looked_up(split, name, message):
    means = evaluate(fixed_rank, split, protocols=("full",)).means()
    with pytest.raises(ConfigError, match=message):
        lookup(means, name)
