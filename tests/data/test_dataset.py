import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from cigf.data.behaviors import Behaviors
from cigf.data.dataset import (
    Dataset,
    Matrix,
    build_matrix,
    contains,
    matrix_from_parts,
    pair_keys,
    pair_rows,
    sorted_unique,
)
from cigf.data.ids import IdMap
from cigf.errors import DataError

N_USERS, N_ITEMS = 5, 7

Pairs = list[tuple[int, int]]
PAIRS = st.lists(st.tuples(st.integers(0, N_USERS - 1), st.integers(0, N_ITEMS - 1)), max_size=30)


def matrix(pairs: Pairs) -> Matrix:
    users, items = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return build_matrix(users, items, (N_USERS, N_ITEMS))


def id_maps(first: str = "a") -> tuple[IdMap, IdMap]:
    users = IdMap(pl.Series([first, "b", "c", "d", "e"]), "user")
    return users, IdMap(pl.Series(range(N_ITEMS)), "item")


def dataset(*behaviors: Pairs, first: str = "a") -> Dataset:
    names = Behaviors(("view", "cart", "buy")[-len(behaviors) :])
    matrices = tuple(matrix(pairs) for pairs in behaviors)
    return Dataset(names, *id_maps(first), matrices, (None,) * len(behaviors))


def pairs_of(found: Matrix) -> set[tuple[int, int]]:
    return set(zip(pair_rows(found).tolist(), found.indices.tolist(), strict=True))


@settings(max_examples=40, deadline=None)
@given(PAIRS)
def test_a_matrix_holds_each_pair_once(pairs: Pairs) -> None:
    found = matrix(pairs)
    dense = np.zeros((N_USERS, N_ITEMS))
    for user, item in pairs:
        dense[user, item] = 1
    assert (found.toarray() == dense).all()
    assert found.indices.dtype == np.int32
    assert pair_keys(found).tolist() == sorted({user * N_ITEMS + item for user, item in pairs})
    assert isinstance(found, csr_array)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 20)), st.lists(st.integers(0, 20)))
def test_keys_are_found_as_in_a_set(keys: list[int], wanted: list[int]) -> None:
    ordered = sorted_unique(np.array(keys, dtype=np.int64))
    assert ordered.tolist() == sorted(set(keys))
    found = contains(ordered, np.array(wanted, dtype=np.int64))
    assert found.tolist() == [key in keys for key in wanted]


@settings(max_examples=40, deadline=None)
@given(PAIRS, PAIRS, PAIRS)
def test_touched_pairs_are_of_other_behaviors_only(views: Pairs, carts: Pairs, buys: Pairs) -> None:
    data = dataset(views, carts, buys)
    assert pairs_of(data.touched()) == set(views + carts) - set(buys)
    assert pairs_of(data.touched(0)) == set(carts + buys) - set(views)


def test_merging_adds_pairs_and_drops_times() -> None:
    data = dataset([(0, 1)], [(2, 3)])
    merged = data.merged((matrix([(0, 1), (4, 6)]), matrix([])))
    assert pairs_of(merged.interactions[0]) == {(0, 1), (4, 6)}
    assert merged.target is data.target
    assert merged.times == (None, None)


def test_the_fingerprint_tells_data_apart() -> None:
    prints = {
        data.fingerprint
        for data in (
            dataset([(0, 1)], [(2, 3)]),
            dataset([(0, 2)], [(2, 3)]),
            dataset([(2, 3)], [(0, 1)]),
            dataset([], [(0, 1)], [(2, 3)]),
            dataset([(0, 1)], [(2, 3)], first="z"),
        )
    }
    assert len(prints) == 5
    assert dataset([(0, 1)], [(2, 3)]).fingerprint in prints


def test_the_fingerprint_does_not_change_between_versions() -> None:
    assert dataset([(0, 1)], [(2, 3)]).fingerprint == "2f3c9fd7d6b54076"


def test_parts_that_do_not_fit_are_refused() -> None:
    names, none = Behaviors(("view", "buy")), (None, None)
    good = matrix([(0, 1)])
    with pytest.raises(DataError, match="1 matrices and 2 times for 2 behaviors"):
        Dataset(names, *id_maps(), (good,), none)
    small = matrix_from_parts(np.zeros(3, np.int64), np.empty(0, np.int32), (2, N_ITEMS))
    with pytest.raises(DataError, match=r"buy has shape \(2, 7\), the ids say \(5, 7\)"):
        Dataset(names, *id_maps(), (good, small), none)
    with pytest.raises(DataError, match="view has 1 pairs and 2 times"):
        Dataset(names, *id_maps(), (good, good), (np.array([1, 2]), None))


def test_preparing_data_needs_no_torch() -> None:
    code = "import sys, cigf.data.prepare; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
