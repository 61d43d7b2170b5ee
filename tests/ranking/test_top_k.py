import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cigf.data.dataset import build_matrix
from cigf.errors import ConfigError
from cigf.ranking import NO_ITEM, top_k

N_USERS, N_ITEMS = 5, 13
SEEN, TOUCHED = 1, 2


def matrix(mask):
    return build_matrix(*np.nonzero(mask), shape=mask.shape)


def best_slowly(row, eligible, k):
    order = sorted((i for i in eligible if row[i] > -np.inf), key=lambda i: (-row[i], i))[:k]
    return order + [NO_ITEM] * (k - len(order))


def tables(elements):
    rows = st.lists(elements, min_size=N_ITEMS, max_size=N_ITEMS)
    return st.lists(rows, min_size=N_USERS, max_size=N_USERS)


@settings(max_examples=60, deadline=None)
@given(
    table=tables(st.sampled_from([0.0, 1.0, 2.0, 3.0, np.nan, np.inf, -np.inf])),
    states=tables(st.sampled_from([0, 0, SEEN, TOUCHED])),
    only=st.sampled_from(["all", "touched", "new"]),
    k=st.sampled_from([1, 3, N_ITEMS - 1, N_ITEMS, N_ITEMS + 4]),
    block_size=st.sampled_from([2, None]),
    allow=st.none() | st.sets(st.integers(0, N_ITEMS - 1)),
    deny=st.none() | st.sets(st.integers(0, N_ITEMS - 1)),
)
def test_lists_equal_a_full_sort(table_scorer, table, states, only, k, block_size, allow, deny):
    states = np.array(states)
    users = np.array([4, 0, 2])
    items, scores = top_k(
        table_scorer(table),
        users,
        k,
        seen=matrix(states == SEEN),
        touched=matrix(states == TOUCHED),
        only=only,
        allow=None if allow is None else np.array(sorted(allow), dtype=np.int64),
        deny=None if deny is None else np.array(sorted(deny), dtype=np.int64),
        block_size=block_size,
    )
    kinds = {"all": (0, TOUCHED), "touched": (TOUCHED,), "new": (0,)}[only]
    for row, user in enumerate(users):
        eligible = [
            i
            for i in range(N_ITEMS)
            if states[user, i] in kinds
            and (allow is None or i in allow)
            and (deny is None or i not in deny)
        ]
        expected = best_slowly(table[user], eligible, k)
        assert items[row].tolist() == expected
        wanted = [-np.inf if i == NO_ITEM else table[user][i] for i in expected]
        assert scores[row].tolist() == wanted


@pytest.mark.parametrize("k", [97, 211, 401])
def test_long_lists_of_few_different_scores(table_scorer, k):
    table = np.random.default_rng(0).integers(0, 3, (2, 401)).astype(float)
    items, _ = top_k(table_scorer(table), np.arange(2), k)
    assert items.tolist() == [best_slowly(row, range(401), k) for row in table]


def test_nothing_is_masked_unless_asked(table_scorer):
    items, scores = top_k(table_scorer([[3.0, 1.0, 2.0]]), np.array([0, 0]), 2)
    assert items.tolist() == [[0, 2], [0, 2]]
    assert scores.tolist() == [[3.0, 2.0], [3.0, 2.0]]


def test_no_users_give_no_lists(table_scorer):
    items, scores = top_k(
        table_scorer(torch.zeros(N_USERS, N_ITEMS)), np.empty(0, dtype=np.int64), 3
    )
    assert items.shape == scores.shape == (0, 3)


def test_a_scorer_keeps_its_scores(table_scorer):
    scorer = table_scorer(torch.ones(N_USERS, N_ITEMS))
    top_k(scorer, np.arange(N_USERS), 3, deny=np.array([0]))
    assert (scorer.table == 1).all()


def test_k_below_one_is_refused(table_scorer):
    with pytest.raises(ConfigError, match="k is 0; it must be at least 1"):
        top_k(table_scorer(torch.zeros(N_USERS, N_ITEMS)), np.arange(N_USERS), 0)


def test_only_touched_needs_touched(table_scorer):
    with pytest.raises(ConfigError, match="only='new' needs to know which items were touched"):
        top_k(table_scorer(torch.zeros(N_USERS, N_ITEMS)), np.arange(N_USERS), 3, only="new")


def test_unknown_only_is_refused(table_scorer):
    with pytest.raises(ConfigError, match="only='old' is not known; choose all, touched or new"):
        top_k(table_scorer(torch.zeros(N_USERS, N_ITEMS)), np.arange(3), 3, only="old")
