"""Evidence: what a graph says of pairs, exactly: counts, conversions and relations.

Axes: U users, I items, B behaviors, F features, m touched pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from cigf.data.dataset import matrix_from_keys, union_of
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.cooccurrence import cosines, matrices_of
from cigf.graph.relations import Pattern, relations_of_pairs

SMALLEST = 1e-3
"""Added to a relation before its logarithm is taken."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Neighborhoods:
    """How the items' co-occurrence is counted.

    Args:
        n_neighbors: Most neighbors of an item.
        user_power: How much less a user of many items says: her items count n_u to minus this.
    """

    n_neighbors: int
    user_power: float

    def of(self, matrix: csr_array) -> csr_array:
        """Return S of a behavior, (I, I): row j, column i for how near item j is to item i."""
        counts = np.maximum(np.diff(matrix.indptr), 1).astype(np.float32)
        weighted = csr_array(diags_array(counts ** (-0.5 * self.user_power)) @ matrix)
        return csr_array(cosines(weighted, self.n_neighbors).T)


class Evidence:
    """What one graph says of its pairs, above all of the touched ones.

    A pair is touched if it has any behavior but the target, and open if it lacks the target.

    Args:
        graph: The graph.
        how: How co-occurrence is counted.
        whole: The evidence of the graph that this one is, but for some target interactions: what
            the target has no part in is taken from there.
    """

    def __init__(
        self, graph: BehaviorGraph, how: Neighborhoods, whole: "Evidence | None" = None
    ) -> None:
        self._whole = whole
        self.done = matrices_of(graph)
        known = [] if whole is None else whole.related[:-1]
        self.related: list[csr_array] = [
            *known,
            *(how.of(each) for each in self.done[len(known) :]),
        ]

    @cached_property
    def touched(self) -> csr_array:
        """The touched pairs as a binary matrix."""
        if self._whole is not None:
            return self._whole.touched
        return _union(self.done[:-1], self.done[-1].shape)

    @cached_property
    def known(self) -> csr_array:
        """The pairs that have any behavior."""
        return _union(self.done, self.done[-1].shape)

    @cached_property
    def pairs(self) -> Pattern:
        """Users and items of the touched pairs."""
        users = np.repeat(np.arange(self.touched.shape[0]), np.diff(self.touched.indptr))
        return users, self.touched.indices.astype(np.int64)

    @cached_property
    def is_open(self) -> Bool[np.ndarray, "m"]:
        """Which touched pairs are open."""
        is_open: NDArray[np.bool_] = values_at(self.done[-1], self.pairs) == 0
        return is_open

    @cached_property
    def item_counts(self) -> Float32[np.ndarray, "I B"]:
        """log(1 + n) of each item and behavior."""
        return np.stack([np.log1p(_sums(each, 0)) for each in self.done], axis=1)

    @cached_property
    def relations(self) -> Float32[np.ndarray, "m B B"]:
        """(Y_k S_j)[u, i] of the touched pairs."""
        n = len(self.done)
        values = np.zeros((len(self.pairs[0]), n, n), dtype=np.float32)
        if n == 1 or not len(values):
            return values
        others, own = self.done[:-1], self.done[-1:]
        if self._whole is None:
            values[:, :-1, :-1] = relations_of_pairs(others, self.related[:-1], self.pairs)
        else:
            values[:, :-1, :-1] = self._whole.relations[:, :-1, :-1]
        values[:, :-1, -1:] = relations_of_pairs(others, self.related[-1:], self.pairs)
        values[:, -1:, :] = relations_of_pairs(own, self.related, self.pairs)
        return values

    @cached_property
    def features(self) -> Float32[np.ndarray, "m F"]:
        """All that is known of the touched pairs, standardized over the open ones.

        Which behaviors a pair has; how many users did what with the item, how many of them also
        the target, and how this is with its neighbors; the same of the user; and all relations.
        """
        users, items = self.pairs
        both = [csr_array(each * self.done[-1]) for each in self.done[:-1]]
        of_items = [self.item_counts[:, k] for k in range(len(self.done))]
        of_users = [np.log1p(_sums(each, 1)) for each in self.done]
        for k, converted in enumerate(both):
            n_converted, near = _sums(converted, 0), self.related[k].T
            around = np.log(near @ n_converted + 0.1) - np.log(near @ _sums(self.done[k], 0) + 1.0)
            of_items += [np.log1p(n_converted), around]
            of_users.append(np.log1p(_sums(converted, 1)))
        table = np.stack(
            [
                *(values_at(each, self.pairs) for each in self.done[:-1]),
                *(each[items] for each in of_items),
                *(each[users] for each in of_users),
                *np.log(self.relations.reshape(len(users), len(self.done) ** 2) + SMALLEST).T,
            ],
            axis=1,
        )
        return standardized(table.astype(np.float32), self.is_open)


def n_features(n_behaviors: int) -> int:
    """Return F."""
    others = n_behaviors - 1
    return others + (n_behaviors + 2 * others) + (n_behaviors + others) + n_behaviors**2


def standardized(
    table: Float32[np.ndarray, "m F"], chosen: Bool[np.ndarray, "m"]
) -> Float32[np.ndarray, "m F"]:
    """Shift and scale each column to mean 0 and deviation 1 over the chosen rows; 0 without any."""
    if not chosen.any():
        return np.zeros_like(table)
    mean, deviation = table[chosen].mean(0), table[chosen].std(0)
    found: Floats = (table - mean) / np.where(deviation > 1e-6, deviation, 1.0).astype(np.float32)
    return found


def values_at(matrix: csr_array, pairs: Pattern) -> Float32[np.ndarray, "n"]:
    """Return single entries of a sparse matrix."""
    if not matrix.nnz or not len(pairs[0]):
        return np.zeros(len(pairs[0]), dtype=np.float32)
    return np.asarray(matrix[pairs], dtype=np.float32).ravel()


def _union(matrices: Sequence[csr_array], shape: tuple[int, int]) -> csr_array:
    return union_of(matrices) if matrices else matrix_from_keys(np.empty(0, np.int64), shape)


def _sums(matrix: csr_array, axis: int) -> Floats:
    return np.asarray(matrix.sum(axis=axis), dtype=np.float32).ravel()
