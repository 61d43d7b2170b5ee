"""Evidence: what a graph says of pairs, exactly: counts, conversions and relations.

Axes: U users, I items, B behaviors, C coordinates, F features of a pair, G of a user, m touched
pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from cigf.data.dataset import matrix_from_keys, union_of
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.cooccurrence import cosines, matrices_of, weighted_sum
from cigf.graph.relations import Pattern, relations_of_pairs
from cigf.graph.spectrum import item_coordinates

FARTHEST = 1e-2
"""Stands for the nearest item of one that is near to nothing."""

SHARP = 4
"""Power whose mean stands for the largest of what a relation adds up."""

CONSTANT = 1e-5
"""Deviation of a feature, the logarithm of something or a share, up to which it is constant."""

Floats = NDArray[np.float32]

FeatureGroup = Literal["behaviors", "items", "users", "nearest", "coordinates"]
"""What the features of a touched pair tell, in their order."""


@dataclass(frozen=True)
class Counting:
    """How the items' co-occurrence is counted.

    Args:
        n_neighbors: Most neighbors of an item.
        user_power: How much less a user of many items says: her items count n_u to minus this.
        n_coordinates: Coordinates C of an item in the spectrum of who touched it.
    """

    n_neighbors: int
    user_power: float
    n_coordinates: int

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
        self, graph: BehaviorGraph, how: Counting, whole: "Evidence | None" = None
    ) -> None:
        self._whole = whole
        self._how = how
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
        known = None if self._whole is None else self._whole.relations
        return self._products(self.related, known)

    @cached_property
    def nearest(self) -> Float32[np.ndarray, "m B B"]:
        """(Y_k S_j^4)[u, i] of them, every entry of S_j to that power: the nearest item decides."""
        known = None if self._whole is None else self._whole.nearest
        return self._products([each.power(SHARP) for each in self.related], known)

    def _products(self, related: Sequence[csr_array], known: Floats | None) -> Floats:
        """Compute Y_k S_j of the touched pairs; what has no part of the target may be known."""
        n = len(self.done)
        values = np.zeros((len(self.pairs[0]), n, n), dtype=np.float32)
        if n == 1 or not len(values):
            return values
        others, own = self.done[:-1], self.done[-1:]
        if known is None:
            values[:, :-1, :-1] = relations_of_pairs(others, related[:-1], self.pairs)
        else:
            values[:, :-1, :-1] = known[:, :-1, :-1]
        values[:, :-1, -1:] = relations_of_pairs(others, related[-1:], self.pairs)
        values[:, -1:, :] = relations_of_pairs(own, related, self.pairs)
        return values

    @cached_property
    def coordinates(self) -> Float32[np.ndarray, "I C"]:
        """Where the items stand in the spectrum of all behaviors but the target, squashed.

        Rarer behaviors count more, by the root of how rare they are.
        """
        if self._whole is not None:
            return self._whole.coordinates
        n_items = self.done[-1].shape[1]
        if len(self.done) == 1:
            return np.zeros((n_items, self._how.n_coordinates), dtype=np.float32)
        others = self.done[:-1]
        weights = [max(1, each.nnz) ** -0.5 for each in others]
        together = weighted_sum(others, [weight / max(weights) for weight in weights])
        found = item_coordinates(together, self._how.n_coordinates)
        scale = np.abs(found).mean(axis=0)
        lengths = np.log1p(np.abs(found) / np.where(scale > 0, scale, 1.0))
        squashed: Floats = np.sign(found) * lengths
        return squashed

    @cached_property
    def user_features(self) -> Float32[np.ndarray, "U G"]:
        """Counts of the users, also of what led to the target, and of open pairs, standardized."""
        open_users = self.pairs[0][self.is_open]
        n_open = np.bincount(open_users, minlength=self.touched.shape[0]).astype(np.float32)
        counts = [*(_sums(each, 1) for each in self.done), n_open]
        counts += [_sums(csr_array(each * self.done[-1]), 1) for each in self.done[:-1]]
        table = np.log1p(np.stack(counts, axis=1)).astype(np.float32)
        return standardized(table, np.ones(len(table), dtype=np.bool_))

    @cached_property
    def features(self) -> Float32[np.ndarray, "m F"]:
        """All that is known of the touched pairs, standardized over the open ones.

        Which behaviors a pair has; how many users did what with the item, how many of them also
        the target, and how this is with its neighbors; the same of the user; all relations by
        their nearest; and the item's coordinates.
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
        nearest = self.nearest.reshape(len(users), len(self.done) ** 2)
        table = np.stack(
            [
                *(values_at(each, self.pairs) for each in self.done[:-1]),
                *(each[items] for each in of_items),
                *(each[users] for each in of_users),
                *(np.log(nearest + FARTHEST**SHARP) / SHARP).T,
                *self.coordinates[items].T,
            ],
            axis=1,
        )
        return standardized(table.astype(np.float32), self.is_open)


def feature_groups(n_behaviors: int, n_coordinates: int) -> dict[FeatureGroup, int]:
    """Return how many features each group has, in their order; F in all."""
    others = n_behaviors - 1
    return {
        "behaviors": others,
        "items": n_behaviors + 2 * others,
        "users": n_behaviors + others,
        "nearest": n_behaviors**2,
        "coordinates": n_coordinates,
    }


def n_user_features(n_behaviors: int) -> int:
    """Return G."""
    return 2 * n_behaviors


def standardized(
    table: Float32[np.ndarray, "m F"], chosen: Bool[np.ndarray, "m"]
) -> Float32[np.ndarray, "m F"]:
    """Shift and scale each column to mean 0 and deviation 1 over the chosen rows; 0 without any.

    Columns that are constant there are only shifted.
    """
    result = np.zeros_like(table)
    if chosen.any():
        for column, values in enumerate(table.T):
            # In single precision, the mean of equal values need not be that value.
            known = values[chosen].astype(np.float64)
            deviation = known.std()
            deviation = deviation if deviation > CONSTANT else 1.0
            result[:, column] = (values - known.mean()) / deviation
    return result


def values_at(matrix: csr_array, pairs: Pattern) -> Float32[np.ndarray, "n"]:
    """Return single entries of a sparse matrix."""
    if not matrix.nnz or not len(pairs[0]):
        return np.zeros(len(pairs[0]), dtype=np.float32)
    return np.asarray(matrix[pairs], dtype=np.float32).ravel()


def _union(matrices: Sequence[csr_array], shape: tuple[int, int]) -> csr_array:
    return union_of(matrices) if matrices else matrix_from_keys(np.empty(0, np.int64), shape)


def _sums(matrix: csr_array, axis: int) -> Floats:
    return np.asarray(matrix.sum(axis=axis), dtype=np.float32).ravel()
