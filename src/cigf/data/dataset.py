"""Dataset: id maps and one binary user x item matrix per behavior, frozen.

Axes: U users, I items, B behaviors (target last).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array

from cigf.data.behaviors import Behaviors
from cigf.data.ids import IdMap
from cigf.errors import DataError

Matrix = csr_array
"""A binary matrix of shape (U, I): float32 ones, sorted int32 indices.

SciPy wants indptr and indices of one type: indptr is int32 too, and both are int64 only from 2^31
pairs on."""

Times = NDArray[np.int64]
"""Milliseconds since 1970-01-01 UTC, one per stored entry of a `Matrix`, in its order."""


def sorted_unique(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the distinct keys in ascending order.

    Sorting takes a tenth of the time that `np.unique`, which hashes, takes on pair keys; a stable
    sort merges the sorted runs of which concatenated keys mostly consist.
    """
    ordered = np.sort(keys, kind="stable")
    first = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]


def matrix_from_keys(keys: NDArray[np.int64], shape: tuple[int, int]) -> Matrix:
    """Return the binary matrix of sorted, duplicate-free keys user * I + item."""
    rows, columns = np.divmod(keys, max(shape[1], 1))
    indptr = np.zeros(shape[0] + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=shape[0]), out=indptr[1:])
    return matrix_from_parts(indptr, columns.astype(np.int32), shape)


def build_matrix(
    users: NDArray[np.integer], items: NDArray[np.integer], shape: tuple[int, int]
) -> Matrix:
    """Return the binary matrix of some pairs; a pair that repeats counts once."""
    return matrix_from_keys(sorted_unique(users.astype(np.int64) * shape[1] + items), shape)


def matrix_from_parts(
    indptr: NDArray[np.integer], indices: NDArray[np.int32], shape: tuple[int, int]
) -> Matrix:
    """Wrap sorted, duplicate-free CSR parts (possibly memory-mapped) without copying them."""
    if len(indices) <= np.iinfo(np.int32).max:
        indptr = indptr.astype(np.int32)  # else SciPy would copy all indices to int64
    matrix = csr_array((np.ones(len(indices), np.float32), indices, indptr), shape=shape)
    matrix.has_sorted_indices = True
    matrix.has_canonical_format = True
    return matrix


def pair_rows(matrix: Matrix) -> NDArray[np.int64]:
    """Return the row (user) of each stored entry of a matrix."""
    return np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))


def pair_keys(matrix: Matrix) -> NDArray[np.int64]:
    """Return user * I + item of each stored entry: sorted, for lookups by binary search."""
    return pair_rows(matrix) * matrix.shape[1] + matrix.indices


def contains(keys: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which `wanted` keys are among the sorted `keys`."""
    if not len(keys):
        return np.zeros(wanted.shape, dtype=bool)
    places = np.searchsorted(keys, wanted)
    places[places == len(keys)] = 0
    found: NDArray[np.bool_] = keys[places] == wanted
    return found


def union_of(matrices: Sequence[Matrix]) -> Matrix:
    """Return the pairs that any of the matrices has."""
    keys = sorted_unique(np.concatenate([pair_keys(matrix) for matrix in matrices]))
    return matrix_from_keys(keys, matrices[0].shape)


def touched_pairs(interactions: Sequence[Matrix], behavior: int) -> Matrix:
    """Return the pairs under any behavior but one, less that one's own."""
    others = [pair_keys(m) for k, m in enumerate(interactions) if k != behavior]
    keys = sorted_unique(np.concatenate([np.empty(0, np.int64), *others]))
    keys = keys[~contains(pair_keys(interactions[behavior]), keys)]
    return matrix_from_keys(keys, interactions[behavior].shape)


@dataclass(frozen=True, eq=False)
class Dataset:
    """K behaviors of U users with I items, as binary matrices.

    Args:
        behaviors: Ordered names; the last is the target.
        users: External ids of the U rows.
        items: External ids of the I columns.
        interactions: One (U, I) matrix per behavior, in the order of `behaviors`.
        times: Last time of each stored pair per behavior, or None where the log had no times.
    """

    behaviors: Behaviors
    users: IdMap
    items: IdMap
    interactions: tuple[Matrix, ...]
    times: tuple[Times | None, ...]

    def __post_init__(self) -> None:
        shape = (len(self.users), len(self.items))
        if len(self.interactions) != len(self.behaviors) or len(self.times) != len(self.behaviors):
            raise DataError(
                f"dataset: {len(self.interactions)} matrices and {len(self.times)} times "
                f"for {len(self.behaviors)} behaviors"
            )
        for name, matrix, times in zip(self.behaviors, self.interactions, self.times, strict=True):
            if matrix.shape != shape:
                raise DataError(f"dataset: {name} has shape {matrix.shape}, the ids say {shape}")
            if times is not None and len(times) != matrix.nnz:
                raise DataError(f"dataset: {name} has {matrix.nnz} pairs and {len(times)} times")

    @property
    def n_users(self) -> int:
        """U."""
        return len(self.users)

    @property
    def n_items(self) -> int:
        """I."""
        return len(self.items)

    @property
    def target(self) -> Matrix:
        """The target behavior's matrix."""
        return self.interactions[-1]

    def touched(self, behavior: int | None = None) -> Matrix:
        """Pairs under any behavior but `behavior` (default: the target), less that one's own.

        These are the "touched" pairs of the evaluation: the user showed interest, and did not
        (yet) do what is to be predicted.
        """
        return touched_pairs(
            self.interactions, self.behaviors.target if behavior is None else behavior
        )

    def merged(self, other: Sequence[Matrix]) -> "Dataset":
        """Return this dataset with the pairs of `other` (one matrix per behavior) added.

        Times are dropped: the merged dataset serves for histories, not for splitting.
        """
        shape = (self.n_users, self.n_items)
        matrices = []
        for mine, added in zip(self.interactions, other, strict=True):
            if added.nnz == 0:
                matrices.append(mine)
                continue
            keys = sorted_unique(np.concatenate([pair_keys(mine), pair_keys(added)]))
            matrices.append(matrix_from_keys(keys, shape))
        none = (None,) * len(self.behaviors)
        return Dataset(self.behaviors, self.users, self.items, tuple(matrices), none)

    @cached_property
    def fingerprint(self) -> str:
        """A short hash of ids, behaviors and pairs: equal data, equal fingerprint."""
        digest = blake2b(digest_size=8)
        digest.update("\0".join(self.behaviors).encode())
        for ids in (self.users, self.items):
            # Of the ids as text, not of Polars' own hashes, which may change with its version.
            digest.update("\0".join(ids.ids.cast(pl.String).to_list()).encode())
            digest.update(f"\0{ids.ids.dtype}\0".encode())
        for matrix in self.interactions:
            digest.update(np.ascontiguousarray(matrix.indptr, dtype=np.int64).tobytes())
            digest.update(np.ascontiguousarray(matrix.indices, dtype=np.int32).tobytes())
        return digest.hexdigest()
