"""Choosing the pairs that are held out, and taking them out of a dataset.

All functions work on distinct pairs. A pair's position is its place in the matrix's `indices`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cigf.data.dataset import (
    Dataset,
    Matrix,
    contains,
    matrix_from_keys,
    pair_keys,
    pair_rows,
    sorted_unique,
)
from cigf.data.splitting import HeldOut

Positions = NDArray[np.int64]


def held_out_at(matrix: Matrix, positions: Positions) -> HeldOut:
    """Return the pairs at some ascending positions of a matrix."""
    rows = pair_rows(matrix)[positions]
    return HeldOut(rows, matrix.indices[positions].astype(np.int64))


def held_out_pairs(users: NDArray[np.int64], items: NDArray[np.int64], n_items: int) -> HeldOut:
    """Return distinct held-out pairs sorted by user, then item."""
    keys = sorted_unique(users * n_items + items)
    return HeldOut(*np.divmod(keys, max(n_items, 1)))


def last_positions(
    dataset: Dataset, behavior: int, users: NDArray[np.int64], generator: np.random.Generator
) -> Positions:
    """Return the position of one pair of each of some users: the last, or a random one.

    Of pairs with the same time the one of the higher item row counts as later. Every user must
    have a pair.
    """
    matrix, times = dataset.interactions[behavior], dataset.times[behavior]
    counts = np.diff(matrix.indptr)[users]
    if times is None:
        return matrix.indptr[users] + generator.integers(0, counts)
    by_time = np.lexsort((times, pair_rows(matrix)))
    return by_time[matrix.indptr[users] + counts - 1]


def hold_out_last(
    dataset: Dataset, behavior: int, generator: np.random.Generator, min_pairs: int = 2
) -> HeldOut:
    """Hold out the last pair (a random one without times) of each user with `min_pairs` or more."""
    matrix = dataset.interactions[behavior]
    users = np.flatnonzero(np.diff(matrix.indptr) >= min_pairs)
    return held_out_at(matrix, last_positions(dataset, behavior, users, generator))


def hold_out_random(
    dataset: Dataset, behavior: int, share: float, generator: np.random.Generator
) -> HeldOut:
    """Hold out each pair with probability `share`; one random pair of each user always stays."""
    matrix = dataset.interactions[behavior]
    chosen = generator.random(matrix.nnz) < share
    counts = np.diff(matrix.indptr)
    users = np.flatnonzero(counts > 0)
    chosen[matrix.indptr[users] + generator.integers(0, counts[users])] = False
    return held_out_at(matrix, np.flatnonzero(chosen))


def hold_out_validation(
    dataset: Dataset, share: float, generator: np.random.Generator, min_pairs: int = 3
) -> HeldOut:
    """Hold out one target pair (the last one) of a random `share` of users with `min_pairs`."""
    target = dataset.behaviors.target
    eligible = np.flatnonzero(np.diff(dataset.target.indptr) >= min_pairs)
    chosen = generator.permutation(len(eligible))[: round(share * len(eligible))]
    users = np.sort(eligible[chosen])
    return held_out_at(dataset.target, last_positions(dataset, target, users, generator))


def without_pairs(dataset: Dataset, held_out: Mapping[str, HeldOut]) -> Dataset:
    """Return the dataset without the held-out pairs of each behavior."""
    matrices, all_times = list(dataset.interactions), list(dataset.times)
    shape = (dataset.n_users, dataset.n_items)
    for name, pairs in held_out.items():
        index = dataset.behaviors.index(name)
        keys, times = pair_keys(matrices[index]), all_times[index]
        stays = ~contains(np.sort(pairs.users * shape[1] + pairs.items), keys)
        matrices[index] = matrix_from_keys(keys[stays], shape)
        all_times[index] = None if times is None else times[stays]
    return Dataset(
        dataset.behaviors, dataset.users, dataset.items, tuple(matrices), tuple(all_times)
    )


def as_matrices(dataset: Dataset, held_out: Mapping[str, HeldOut]) -> tuple[Matrix, ...]:
    """Return the held-out pairs as one matrix per behavior of the dataset."""
    shape = (dataset.n_users, dataset.n_items)
    return tuple(_as_matrix(held_out.get(name), shape) for name in dataset.behaviors)


def _as_matrix(pairs: HeldOut | None, shape: tuple[int, int]) -> Matrix:
    if pairs is None:
        return matrix_from_keys(np.empty(0, dtype=np.int64), shape)
    return matrix_from_keys(sorted_unique(pairs.users * shape[1] + pairs.items), shape)


def difference(first: Sequence[Matrix], second: Sequence[Matrix]) -> tuple[Matrix, ...]:
    """Return the pairs of `first` that are not in `second`, behavior by behavior."""
    return tuple(_minus(a, b) for a, b in zip(first, second, strict=True))


def _minus(first: Matrix, second: Matrix) -> Matrix:
    keys = pair_keys(first)
    return matrix_from_keys(keys[~contains(pair_keys(second), keys)], first.shape)
