from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from cigf.data.dataset import build_matrix
from cigf.data.splitting import Candidates
from cigf.data.tasks import RankingTask
from cigf.ranking import ScoreFactors, counts, factors, rank_counts

N_USERS, N_ITEMS = 5, 13
SEEN, TOUCHED, HELD, HELD_TOUCHED = 1, 2, 3, 4


def matrix(mask):
    return build_matrix(*np.nonzero(mask), shape=mask.shape)


def task_from(states, candidates=None):
    """One letter per pair: 0 nothing, seen, touched, held out, held out and touched."""
    states = np.asarray(states)
    users, items = np.nonzero(states >= HELD)
    touched = (states == TOUCHED) | (states == HELD_TOUCHED)
    return RankingTask(users, items, matrix(states == SEEN), matrix(touched), candidates)


def count_slowly(row, item, rivals, own):
    """Walk over the rivals of one held-out item; `own` are the user's held-out items in order."""
    above = 0
    for rival in rivals:
        if rival == item:
            continue
        score, mark = float(row[rival]), float(row[item])
        if rival in own:
            score, mark = (-np.inf if np.isnan(x) else x for x in (score, mark))
            above += score > mark or (score == mark and own.index(rival) < own.index(item))
        else:
            above += not score < mark
    return above


def counts_slowly(table, states):
    states, full_all, full_group = np.asarray(states), [], []
    for user, item in zip(*np.nonzero(states >= HELD), strict=True):
        own = [i for i in range(N_ITEMS) if states[user, i] >= HELD]
        everything = [i for i in range(N_ITEMS) if states[user, i] != SEEN]
        touched = [i for i in everything if states[user, i] in (TOUCHED, HELD_TOUCHED)]
        new = [i for i in everything if i not in touched]
        group = touched if item in touched else new
        full_all.append(count_slowly(table[user], item, everything, own))
        full_group.append(count_slowly(table[user], item, group, own))
    return full_all, full_group


SCORES = st.sampled_from([0.0, 1.0, 2.0, 3.0, np.nan, np.inf, -np.inf])


def tables(elements):
    rows = st.lists(elements, min_size=N_ITEMS, max_size=N_ITEMS)
    return st.lists(rows, min_size=N_USERS, max_size=N_USERS)


@settings(max_examples=60, deadline=None)
@given(
    table=tables(SCORES),
    states=tables(st.sampled_from([0, 0, 0, SEEN, TOUCHED, HELD, HELD_TOUCHED])),
    block_size=st.sampled_from([1, 2, 3, None]),
)
def test_counts_equal_the_slow_walk(table_scorer, table, states, block_size):
    counts = rank_counts(table_scorer(table), task_from(states), block_size=block_size)
    full_all, full_group = counts_slowly(table, states)
    assert counts.full_all.tolist() == full_all
    assert counts.full_group.tolist() == full_group
    assert counts.sampled_all is None


def test_by_hand(table_scorer):
    # Items 0 seen, 1 and 2 touched, 3 held out, 4 to 6 nothing.
    states = [[SEEN, TOUCHED, TOUCHED, HELD, 0, 0, 0]]
    counts = rank_counts(table_scorer([[9, 5, 1, 4, 4, 6, 3]]), task_from(states))
    assert counts.full_all.tolist() == [3]  # items 1, 5 and, tied, 4
    assert counts.full_group.tolist() == [2]  # items 4 and 5
    assert counts.ranks("full", "new").tolist() == [3]
    assert counts.ranks("full", "touched").tolist() == []


@pytest.mark.parametrize("score", [0.0, np.nan, -np.inf])
def test_a_model_without_an_opinion_ranks_every_item_last(table_scorer, score):
    states = np.zeros((N_USERS, N_ITEMS), dtype=int)
    states[:, 0], states[:, 1:4], states[:, 4] = SEEN, TOUCHED, HELD_TOUCHED
    counts = rank_counts(table_scorer(np.full((N_USERS, N_ITEMS), score)), task_from(states))
    assert (counts.full_all == N_ITEMS - 2).all()
    assert (counts.full_group == 3).all()


def test_held_out_items_of_one_user_never_share_a_rank(table_scorer):
    states = np.full((1, N_ITEMS), HELD)
    counts = rank_counts(table_scorer(np.zeros((1, N_ITEMS))), task_from(states))
    assert counts.full_all.tolist() == list(range(N_ITEMS))


def test_sampled_with_all_items_equals_full(table_scorer):
    rng = np.random.default_rng(3)
    states = rng.choice([0, 0, SEEN, TOUCHED], size=(N_USERS, N_ITEMS))
    states[np.arange(N_USERS), rng.integers(0, N_ITEMS, N_USERS)] = rng.choice(
        [HELD, HELD_TOUCHED], N_USERS
    )
    states[0] = [HELD_TOUCHED] + [SEEN] * (N_ITEMS - 1)  # no rival at all
    rivals = {"all": [], "group": []}
    for row in states:
        touched = np.isin(row, [TOUCHED, HELD_TOUCHED])
        is_touched = HELD_TOUCHED in row
        everything = (row != SEEN) & (row < HELD)
        for name, members in {
            "all": everything,
            "group": everything & (touched == is_touched),
        }.items():
            items = np.full(N_ITEMS, -1)
            items[: members.sum()] = np.flatnonzero(members)
            rivals[name].append(items)
    candidates = Candidates(*(np.array(rivals[name], dtype=np.int32) for name in ("all", "group")))
    table = rng.integers(0, 4, (N_USERS, N_ITEMS)).astype(float)
    table[3, 2] = np.nan
    counts = rank_counts(table_scorer(table), task_from(states, candidates), block_size=2)
    np.testing.assert_array_equal(counts.sampled_all, counts.full_all)
    np.testing.assert_array_equal(counts.sampled_group, counts.full_group)
    assert counts.full_all.max() > 3


def test_equal_factors_are_ties_in_any_place_of_the_catalog():
    # Items with the same factors must get the same bits wherever they stand; every rival ties.
    n_items, generator = 211, torch.Generator().manual_seed(5)
    item = torch.randn(1, 3, 5, generator=generator).expand(n_items, 3, 5)
    gates = torch.randn(1, 3, generator=generator)
    users = torch.randn(N_USERS, 3, 5, generator=generator)
    factors = ScoreFactors(users, item, gates.expand(N_USERS, 3), gates.expand(n_items, 3))
    nothing = csr_array((N_USERS, n_items), dtype=np.float32)
    held = np.array([0, 1, 97, 209, 210])
    task = RankingTask(np.arange(N_USERS), held, nothing, nothing)
    assert (rank_counts(factors, task).full_all == n_items - 1).all()


def test_an_empty_task_has_empty_counts(table_scorer):
    counts = rank_counts(
        table_scorer(np.zeros((N_USERS, N_ITEMS))), task_from(np.zeros((N_USERS, N_ITEMS)))
    )
    assert len(counts.full_all) == 0
    assert len(counts.is_touched) == 0


def test_memory_mapped_input_is_read_in_place(table_scorer):
    states = np.zeros((N_USERS, N_ITEMS), dtype=int)
    states[:, 2], states[:, 5] = SEEN, HELD
    task = task_from(states)
    for array in (task.users, task.items, task.seen.indices, task.seen.indptr):
        array.setflags(write=False)
    assert (
        rank_counts(table_scorer(np.ones((N_USERS, N_ITEMS))), task).full_all == N_ITEMS - 2
    ).all()


@pytest.mark.parametrize("at_once", [2, 256])
def test_candidates_alone_have_the_same_ranks_without_the_catalog(
    table_scorer, at_once, monkeypatch
):
    monkeypatch.setattr("cigf.ranking.counts.PAIRS_AT_ONCE", at_once)
    generator = np.random.default_rng(0)
    table = generator.integers(4, size=(N_USERS, N_ITEMS)).astype(np.float32)
    table[2, 3] = np.nan
    states = generator.integers(5, size=table.shape)
    n_pairs = (states >= HELD).sum()
    drawn = Candidates(*generator.integers(-1, N_ITEMS, (2, n_pairs, 7)).astype(np.int32))
    task = task_from(states, drawn)
    scorer = table_scorer(table)
    expected, found = rank_counts(scorer, task), rank_counts(scorer, replace(task, full=False))
    assert found.full_all is None
    for group in ("all", "touched", "new"):
        assert (found.ranks("1+99", group) == expected.ranks("1+99", group)).all()


def test_ones_are_counted_beyond_what_single_precision_holds(monkeypatch):
    monkeypatch.setitem(factors.SCORES_AT_ONCE, "cpu", 1 << 30)
    scores = torch.zeros(1, (1 << 24) + 1)
    assert counts._count_everything(scores, torch.ones(1, 1)).tolist() == [0]
