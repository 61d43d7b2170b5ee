"""Which nodes a sub-graph around some users holds: two ways to let it grow.

Axes: U users, I items, B behaviors.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cigf.data.dataset import Matrix, union_of
from cigf.sampling.config import SamplingConfig

Ints = NDArray[np.int64]


class SubgraphNodes(Protocol):
    """Chooses the nodes around some users."""

    def around(self, users: Ints, generator: np.random.Generator) -> tuple[Ints, Ints]:
        """Return the sub-graph's users, the given ones among them, and its items; ascending."""
        ...


class BudgetNodes:
    """Sub-graphs grown by budget, as the published program samples its largest data set.

    A node in the sub-graph gives each neighbor in the union of the behaviors an equal share of 1.
    Shares add up to budgets and are never reset. A round draws users, then items, among those
    that are not in yet, without replacement, with probabilities proportional to the squared
    budget; what a round cannot spend, because too few nodes have a budget, the next one may, and
    a last one spends the rest. First, as many items are drawn as there are users to begin with.

    The draws are the largest of log p + Gumbel noise: the same distribution as drawing one after
    the other, in linear time.

    Args:
        interactions: Training pairs, one matrix per behavior.
        config: Rounds and nodes per round.
    """

    def __init__(self, interactions: Sequence[Matrix], config: SamplingConfig) -> None:
        by_user = union_of(interactions)
        self._links = (by_user, by_user.T.tocsr())
        self._config = config

    def around(self, users: Ints, generator: np.random.Generator) -> tuple[Ints, Ints]:
        """Return the sub-graph's users and items; see the class."""
        inside = tuple(np.zeros(matrix.shape[0], bool) for matrix in self._links)
        budgets = tuple(np.zeros(matrix.shape[0]) for matrix in self._links)

        def add(side: int, nodes: Ints) -> None:
            inside[side][nodes] = True
            budgets[1 - side][:] += _shares(self._links[side], nodes)

        def grow(side: int, most: int) -> int:
            nodes = _draw(np.where(inside[side], 0.0, budgets[side]), most, generator)
            add(side, nodes)
            return most - len(nodes)

        add(0, users)
        left = [0, grow(1, len(users))]
        for added in [self._config.subgraph_nodes] * self._config.subgraph_rounds + [0]:
            left = [grow(side, left[side] + added) for side in (0, 1)]
        return np.flatnonzero(inside[0]), np.flatnonzero(inside[1])


class NeighborNodes:
    """Sub-graphs of sampled neighbors: a round adds up to n neighbors of each new node.

    They are drawn uniformly, without replacement, under each behavior apart.

    Args:
        interactions: Training pairs, one matrix per behavior.
        config: Rounds and neighbors per node.
    """

    def __init__(self, interactions: Sequence[Matrix], config: SamplingConfig) -> None:
        self._links = (list(interactions), [matrix.T.tocsr() for matrix in interactions])
        self._config = config

    def around(self, users: Ints, generator: np.random.Generator) -> tuple[Ints, Ints]:
        """Return the sub-graph's users and items; see the class."""
        inside = [np.zeros(side[0].shape[0], bool) for side in self._links]
        inside[0][users] = True
        new: list[Ints] = [np.sort(users), np.empty(0, np.int64)]
        for _ in range(self._config.subgraph_rounds):
            for side in (0, 1):
                found = [
                    _neighbors(matrix, new[side], self._config.neighbors_per_node, generator)
                    for matrix in self._links[side]
                ]
                new[side] = np.empty(0, np.int64)
                nodes = np.unique(np.concatenate(found))
                nodes = nodes[~inside[1 - side][nodes]]
                inside[1 - side][nodes] = True
                new[1 - side] = np.union1d(new[1 - side], nodes)
        return np.flatnonzero(inside[0]), np.flatnonzero(inside[1])


def _places(matrix: Matrix, rows: Ints) -> tuple[Ints, Ints]:
    """Return the number of entries of some rows, and where each of them stands."""
    starts, counts = (
        matrix.indptr[rows].astype(np.int64),
        np.diff(matrix.indptr)[rows].astype(np.int64),
    )
    ends = np.cumsum(counts)
    shifts = np.repeat(starts - (ends - counts), counts)
    return counts, np.arange(len(shifts)) + shifts


def _shares(matrix: Matrix, rows: Ints) -> NDArray[np.float64]:
    """Return what some rows give to each column: 1 / degree to each of their own."""
    counts, places = _places(matrix, rows)
    weights = np.repeat(1.0 / np.maximum(counts, 1), counts)
    given = np.bincount(matrix.indices[places], weights, minlength=matrix.shape[1])
    return given.astype(np.float64)


def _draw(budgets: NDArray[np.float64], most: int, generator: np.random.Generator) -> Ints:
    """Draw up to `most` nodes with a budget, with probabilities proportional to its square."""
    nodes = np.flatnonzero(budgets)
    if len(nodes) <= most:
        return nodes
    keys = 2.0 * np.log(budgets[nodes]) + generator.gumbel(size=len(nodes))
    return nodes[np.argpartition(-keys, most)[:most]]


def _neighbors(matrix: Matrix, rows: Ints, most: int, generator: np.random.Generator) -> Ints:
    """Draw up to `most` distinct entries of each row."""
    counts, places = _places(matrix, rows)
    owners = np.repeat(np.arange(len(rows)), counts)
    order = np.lexsort((generator.random(len(places)), owners))
    turns = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    chosen: Ints = matrix.indices[places[order[turns < most]]].astype(np.int64)
    return chosen
