import numpy as np
import polars as pl
import pytest

from cigf.data.behaviors import Behaviors
from cigf.data.dataset import Dataset, build_matrix
from cigf.data.ids import IdMap
from cigf.data.splitting import Candidates, HeldOut
from cigf.data.tasks import RankCounts, RankingTask, ranking_task
from cigf.errors import DataError

SHAPE = (3, 5)


def matrix(*pairs):
    users, items = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return build_matrix(users, items, SHAPE)


def task(users, items, seen=(), **options):
    return RankingTask(np.array(users), np.array(items), matrix(*seen), matrix(), **options)


def test_a_task_of_a_history_hides_the_behavior_and_groups_by_the_others():
    ids = [IdMap(pl.Series(np.arange(n)), name) for n, name in zip(SHAPE, "ui", strict=True)]
    views, buys = matrix((0, 1), (0, 2), (2, 4)), matrix((0, 2), (1, 3))
    history = Dataset(Behaviors(("view", "buy")), *ids, (views, buys), (None, None))
    made = ranking_task(history, HeldOut(np.array([0, 2]), np.array([1, 0])), behavior=1)
    assert made.seen is buys
    assert made.touched.toarray().tolist() == matrix((0, 1), (2, 4)).toarray().tolist()
    assert made.is_touched.tolist() == [True, False]
    assert len(made) == 2


@pytest.mark.parametrize(
    ("users", "items", "message"),
    [
        ([1, 0], [2, 2], "not in ascending order"),
        ([1, 1], [2, 2], "a held-out pair stands twice"),
        ([0, 1], [2], "2 users for 1 items"),
        ([0, 3], [2, 2], r"users must be in 0\.\.2"),
        ([0, 1], [-1, 2], r"items must be in 0\.\.4"),
        ([0, 1], [4, 2], "1 held-out pairs are in the history of the same behavior"),
    ],
)
def test_wrong_pairs_are_refused(users, items, message):
    with pytest.raises(DataError, match=message):
        task(users, items, seen=[(0, 4)])


def test_matrices_of_different_shapes_are_refused():
    other = build_matrix(np.array([0]), np.array([0]), (3, 4))
    with pytest.raises(DataError, match=r"seen has shape \(3, 5\), touched \(3, 4\)"):
        RankingTask(np.array([0]), np.array([0]), matrix(), other)


def test_candidates_of_other_pairs_are_refused():
    drawn = np.zeros((3, 2), dtype=np.int32)
    with pytest.raises(DataError, match="candidates of 3 pairs for 2 held-out pairs"):
        task([0, 1], [2, 2], candidates=Candidates(drawn, drawn))


def test_ranks_of_a_group_are_its_members_counts_plus_one():
    counts = RankCounts(np.array([True, False, True]), np.array([4, 5, 6]), np.array([1, 2, 3]))
    assert counts.ranks("full", "all").tolist() == [5, 6, 7]
    assert counts.ranks("full", "touched").tolist() == [2, 4]
    assert counts.ranks("full", "new").tolist() == [3]


def test_sampled_ranks_need_candidates():
    counts = RankCounts(np.array([True]), np.array([4]), np.array([1]))
    with pytest.raises(DataError, match=r"1\+99: the ranking task had no candidates"):
        counts.ranks("1+99", "all")


def test_ranks_are_in_full_or_among_candidates():
    with pytest.raises(DataError, match="neither in full nor among candidates; give candidates"):
        task([0, 1], [2, 2], full=False)
    counts = RankCounts(np.array([True]), None, None, np.array([4]), np.array([1]))
    assert counts.ranks("1+99", "all").tolist() == [5]
    with pytest.raises(DataError, match="full: the ranking task was not in full"):
        counts.ranks("full", "all")
