from collections import Counter
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cigf.data.behaviors import Behaviors
from cigf.data.candidates import candidate_generator, draw_candidates, draw_ranks
from cigf.data.dataset import Dataset, build_matrix
from cigf.data.ids import IdMap
from cigf.data.splitting import Candidates, HeldOut

N_USERS, N_ITEMS = 5, 23

Pairs = set[tuple[int, int]]


def dataset(*behaviors: Pairs) -> Dataset:
    shape = (N_USERS, N_ITEMS)
    columns = [np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2).T for pairs in behaviors]
    return Dataset(
        Behaviors(("view", "cart", "buy")[-len(behaviors) :]),
        IdMap(pl.Series(range(N_USERS)), "user"),
        IdMap(pl.Series(range(N_ITEMS)), "item"),
        tuple(build_matrix(users, items, shape) for users, items in columns),
        (None,) * len(behaviors),
    )


def held_out(pairs: Pairs) -> HeldOut:
    columns = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2).T
    return HeldOut(columns[0], columns[1])


def draw(history: Dataset, pairs: Pairs, n: int, seed: int = 3) -> Candidates:
    generator = np.random.default_rng(seed)
    return draw_candidates(history, held_out(pairs), len(history.behaviors) - 1, n, generator)


PAIRS = st.sets(st.tuples(st.integers(0, N_USERS - 1), st.integers(0, N_ITEMS - 1)), max_size=50)


@settings(max_examples=60, deadline=None)
@given(PAIRS, PAIRS, PAIRS, PAIRS, st.sampled_from([1, 3, 7, 29]))
def test_candidates_come_from_their_pools(
    views: Pairs, carts: Pairs, buys: Pairs, test: Pairs, n: int
) -> None:
    test = test - buys
    drawn = draw(dataset(views, carts, buys), test, n)
    for row, (user, item) in enumerate(sorted(test)):
        taken = {i for u, i in buys | test if u == user}
        touched = {i for u, i in views | carts if u == user} - {i for u, i in buys if u == user}
        everything = set(range(N_ITEMS)) - taken
        group = touched - taken if item in touched else everything - touched
        for found, pool in ((drawn.all[row], everything), (drawn.group[row], group)):
            items = found[found >= 0].tolist()
            assert len(set(items)) == len(items) == min(n, len(pool))
            assert set(items) <= pool
            assert len(found) == n


def test_equal_generators_draw_equally_and_others_do_not() -> None:
    history = dataset({(0, 1)}, {(1, 2)})
    pairs = {(user, 5) for user in range(N_USERS)}
    first, again, other = (draw(history, pairs, 7, seed) for seed in (3, 3, 4))
    assert (first.all == again.all).all()
    assert (first.group == again.group).all()
    assert (first.all != other.all).any()


def test_blocks_do_not_change_what_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cigf.data.candidates.BLOCK", 2)
    pairs = {(user, item) for user in range(N_USERS) for item in (3, 11)}
    drawn = draw(dataset({(0, 3)}, {(2, 2)}), pairs, 5)
    assert not np.isin(drawn.all, [3, 11]).any()
    assert (drawn.all >= 0).all()
    assert 2 not in drawn.all[4:6]


@pytest.mark.parametrize(("size", "n"), [(5, 2), (9, 2)])
def test_every_set_is_drawn_equally_often(size: int, n: int) -> None:
    """9 of 2 go through redrawing, 5 of 2 through shuffling; both are uniform over sets."""
    n_rows = 60_000
    ranks = draw_ranks(np.full(n_rows, size), n, np.random.default_rng(0))
    counts = Counter(map(tuple, np.sort(ranks, axis=1).tolist()))
    sets = list(combinations(range(size), n))
    assert set(counts) == set(sets)
    expected = n_rows / len(sets)
    assert max(abs(counts[s] - expected) for s in sets) < 5 * expected**0.5


def test_no_pairs_and_empty_pools() -> None:
    history = dataset({(0, 1)}, {(1, 2)})
    assert draw(history, set(), 4).all.shape == (0, 4)
    drawn = draw(history, {(0, 1)}, 4)  # she has touched nothing but the held-out item
    assert (drawn.group == -1).all()
    ranks = draw_ranks(np.array([0, 1, 3]), 2, np.random.default_rng(0))
    assert (ranks >= 0).sum(axis=1).tolist() == [0, 1, 2]


def test_each_part_and_behavior_has_its_own_generator() -> None:
    draws = {
        candidate_generator(seed, part, name).integers(2**62)
        for seed in (0, 1)
        for part in ("valid", "test")
        for name in ("view", "buy")
    }
    assert len(draws) == 8
