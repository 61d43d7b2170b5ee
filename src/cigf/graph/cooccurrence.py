"""How often, and how alike, items are found with the same users: a sparse item-item matrix.

Computed on the CPU, a block of items at a time: all pairs of items at once may not fit in memory.

Axes: U users, I items, B behaviors.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import cast

import numpy as np
from scipy.sparse import csr_array, diags_array, vstack

from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.gather_sum import Edges

_VALUES_AT_ONCE = 1 << 24
"""Item pairs whose similarity is computed at once: some hundred MB."""


def matrices_of(graph: BehaviorGraph) -> tuple[csr_array, ...]:
    """Return a graph's edges as binary matrices (U, I), one per behavior."""
    return tuple(matrix_of(edges) for edges in graph.to_users)


def matrix_of(edges: Edges) -> csr_array:
    """Return edges as a binary matrix, (rows, columns)."""
    offsets, indices = edges.offsets.cpu().numpy(), edges.indices.cpu().numpy()
    values = np.ones(len(indices), np.float32)
    return csr_array((values, indices, offsets), shape=(edges.n_rows, edges.n_columns))


def weighted_sum(matrices: Sequence[csr_array], weights: Sequence[float]) -> csr_array:
    """Return w_1 Y_1 + ... + w_B Y_B."""
    total = matrices[0] * np.float32(weights[0])
    for matrix, weight in zip(matrices[1:], weights[1:], strict=True):
        total = total + matrix * np.float32(weight)
    return total.tocsr()


def cosines(
    weighted: csr_array, n_neighbors: int, on_block: Callable[[], None] = lambda: None
) -> csr_array:
    """Return each item's most similar other items by the cosine of their columns, (I, I).

    Args:
        weighted: How much each user has to do with each item, (U, I).
        n_neighbors: How many are kept of each row, those of the lowest number among equals; the
            item itself is not one of them.
        on_block: Called after every block of items; there are `n_blocks`.
    """
    lengths = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=0)).ravel())
    inverse = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    units = (weighted @ diags_array(inverse.astype(np.float32))).tocsr()
    columns = units.T.tocsr()
    blocks = []
    for items in _blocks(weighted.shape[1]):
        together = (columns[items] @ units).tocsr()
        blocks.append(strongest(together, n_neighbors, first=items.start))
        on_block()
    return cast(csr_array, vstack(blocks, format="csr"))


def n_blocks(n_items: int) -> int:
    """Return in how many blocks `cosines` goes through the items."""
    return sum(1 for _ in _blocks(n_items))


def strongest(matrix: csr_array, n: int, first: int) -> csr_array:
    """Keep the n largest positive values of each row, the diagonal left out.

    Args:
        matrix: Some rows of a square matrix.
        n: How many are kept, those of the lowest number among equals.
        first: Number of the first of the rows.
    """
    dense = matrix.toarray()
    dense[np.arange(len(dense)), first + np.arange(len(dense))] = 0.0
    least = np.zeros((len(dense), 1), dense.dtype)
    if n < dense.shape[1]:
        least = np.partition(dense, -n, axis=1)[:, -n, None]
    rows, columns = np.nonzero((dense >= least) & (dense > 0))
    values = dense[rows, columns]
    order = np.lexsort((columns, -values, rows))
    counts = np.bincount(rows, minlength=len(dense))
    place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    near = np.sort(order[place < n])
    chosen = (values[near], (rows[near], columns[near]))
    return csr_array(chosen, shape=matrix.shape)


def _blocks(n_items: int) -> Iterator[slice]:
    size = max(1, _VALUES_AT_ONCE // max(1, n_items))
    for start in range(0, n_items, size):
        yield slice(start, min(start + size, n_items))
