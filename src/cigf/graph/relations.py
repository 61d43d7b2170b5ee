"""Relations (k, j, j) between a user and an item, uncompressed: Y_k S_j.

CIGCN learns the same relations through embeddings: behavior k of the user, then two hops of
behavior j from item to item. Here nothing is squeezed into an embedding: S_j is the items'
co-occurrence under j, and the value of a pair is what she did under k, weighed by how near it is
to the item.

Axes: U users, I items, B behaviors, m pairs.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array

Pattern = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Users and items of some pairs, ordered by user."""

_VALUES_AT_ONCE = 1 << 21
"""Size of a dense block of users with all items."""


def relations_of_pairs(
    done: Sequence[csr_array], related: Sequence[csr_array], pairs: Pattern
) -> Float32[np.ndarray, "m k j"]:
    """Return (Y_k S_j)[u, i] for every two behaviors k and j.

    Args:
        done: What the users did under each behavior, (U, I).
        related: S_j of each behavior, (I, I).
        pairs: The pairs.
    """
    users, items = pairs
    result = np.zeros((len(users), len(done), len(related)), dtype=np.float32)
    for block, place in _blocks(users, done[0].shape):
        rows, columns = users[place] - block.start, items[place]
        for k, matrix in enumerate(done):
            mine = matrix[block]
            for j, near in enumerate(related):
                if mine.nnz and near.nnz:
                    result[place, k, j] = (mine @ near).toarray()[rows, columns]
    return result


def relations_with_items(
    done: Sequence[csr_array], related: Sequence[csc_array], items: NDArray[np.int64]
) -> Float32[np.ndarray, "u s k j"]:
    """Return (Y_k S_j)[u, i] of all given users with the same few items.

    Args:
        done: What some users did under each behavior, (u, I).
        related: S_j of each behavior by columns, (I, I).
        items: The items.
    """
    shape = (done[0].shape[0], len(items), len(done), len(related))
    result = np.empty(shape, dtype=np.float32)
    for j, near in enumerate(related):
        columns = near[:, items].tocsr()
        for k, matrix in enumerate(done):
            result[:, :, k, j] = (matrix @ columns).toarray()
    return result


def _blocks(users: NDArray[np.int64], shape: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    """Yield blocks of users that have pairs, and the place of their pairs."""
    size = max(1, _VALUES_AT_ONCE // max(1, shape[1]))
    for start in range(0, shape[0], size):
        first, last = np.searchsorted(users, [start, start + size])
        if first < last:
            yield slice(start, start + size), slice(int(first), int(last))
