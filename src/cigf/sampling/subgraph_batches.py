"""Batches that bring their own graph: the part of the data around their users.

Axes: U users, I items, B behaviors; inside a sub-graph nodes are numbered anew, in their order.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray

from cigf.data.dataset import Matrix
from cigf.graph.bipartite import BehaviorGraph
from cigf.sampling.config import SamplingConfig
from cigf.sampling.subgraphs import BudgetNodes, NeighborNodes, SubgraphNodes
from cigf.sampling.users import UserSampler
from cigf.seeding import numpy_generator
from cigf.shapes import Batch, Learns, Nodes

_NODES: dict[str, type[BudgetNodes] | type[NeighborNodes]] = {
    "budget": BudgetNodes,
    "neighbors": NeighborNodes,
}


@dataclass(frozen=True, kw_only=True)
class SubgraphBatch(Batch):
    """A batch whose users and items are numbered inside a sub-graph.

    Args:
        nodes: The sub-graph's users and items by their numbers in the whole graph, int64.
        graph: The edges between them, with degrees of their own.
    """

    nodes: Nodes
    graph: BehaviorGraph


class SubgraphSampler:
    """Batches of users as `UserSampler` draws them, each group of them in its own sub-graph.

    Positives and negatives are the sub-graph's. Every batch is a function of (seed, epoch, step).
    With sub-graphs that hold all nodes the batches are those of `UserSampler`.

    Args:
        interactions: Training pairs, one matrix per behavior.
        config: Sizes of batches and sub-graphs.
        seed: The run's seed.
        device: Where the batches go.
        learns: Whose labels are wanted.
    """

    def __init__(
        self,
        interactions: Sequence[Matrix],
        config: SamplingConfig,
        seed: int,
        device: torch.device | str = "cpu",
        learns: Learns = "behaviors",
    ) -> None:
        self._interactions = tuple(interactions)
        self._config, self._seed, self._device, self._learns = config, seed, device, learns
        self._whole = UserSampler(interactions, config, seed, device, learns)
        self._around: SubgraphNodes = _NODES[config.subgraph](interactions, config)

    @property
    def n_steps(self) -> int:
        """Batches per epoch."""
        whole, rest = divmod(self._whole.users_per_epoch, self._config.users_per_subgraph)
        return whole * self._steps(self._config.users_per_subgraph) + self._steps(rest)

    def _steps(self, n_users: int) -> int:
        return -(-n_users // self._config.batch_size)

    def epoch(self, epoch: int, first_step: int = 0) -> Generator[Batch, None, None]:
        """Yield the batches of an epoch, from `first_step` on."""
        users, before = self._whole.users_of(epoch), 0
        for start in range(0, len(users), self._config.users_per_subgraph):
            group = users[start : start + self._config.users_per_subgraph]
            if before + self._steps(len(group)) > first_step:
                yield from self._inside(group, epoch, max(0, first_step - before), before)
            before += self._steps(len(group))

    def _inside(
        self, users: NDArray[np.int64], epoch: int, first_step: int, before: int
    ) -> Generator[Batch, None, None]:
        generator = numpy_generator(self._seed, "subgraph", epoch, before)
        nodes = self._around.around(users, generator)
        matrices = [restricted(matrix, *nodes) for matrix in self._interactions]
        graph = BehaviorGraph.build(matrices, self._device)
        outside = Nodes(*(torch.from_numpy(each).to(self._device) for each in nodes))
        sampler = UserSampler(matrices, self._config, self._seed, self._device, self._learns)
        local = np.searchsorted(nodes[0], users)
        for batch in sampler.batches_of(local, epoch, first_step, before):
            drawn = {each.name: getattr(batch, each.name) for each in fields(batch)}
            yield SubgraphBatch(**drawn, nodes=outside, graph=graph)


def restricted(matrix: Matrix, users: NDArray[np.int64], items: NDArray[np.int64]) -> Matrix:
    """Return the pairs between some users and some items, in their order."""
    found: Matrix = matrix[users][:, items]
    found.sort_indices()
    return found
