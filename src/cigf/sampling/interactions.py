"""Sampling by interactions: an epoch visits every training interaction once, in random order.

Axes: U users, I items, B behaviors, n pairs.
"""

from collections.abc import Generator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from cigf.data.dataset import Matrix, pair_rows
from cigf.sampling.config import SamplingConfig
from cigf.sampling.users import BehaviorSampler, Drawn, Labels, build_batch, learned_matrices
from cigf.seeding import numpy_generator
from cigf.shapes import Batch, Learns


class InteractionSampler:
    """Batches of interactions with negatives; a function of (seed, epoch, step), as by users.

    There are as many steps as the target's interactions (or the union's, where that is learned
    from) need at `batch_size` each, and every behavior is spread over them evenly.

    Args:
        interactions: Training pairs, one matrix per behavior.
        config: Numbers of interactions and negatives.
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
        self._config = config
        self._seed = seed
        self._device = device
        learned = learned_matrices(interactions, learns)
        self._pairs = [_usable(matrix, config) for matrix in learned]
        self._behaviors = [BehaviorSampler(matrix) for matrix in learned]
        self._labels = Labels(interactions) if learns == "union" else None

    @property
    def n_steps(self) -> int:
        """Batches per epoch."""
        return -(-len(self._pairs[-1][0]) // self._config.batch_size)

    def epoch(self, epoch: int, first_step: int = 0) -> Generator[Batch, None, None]:
        """Yield the batches of an epoch, from `first_step` on."""
        orders = [
            numpy_generator(self._seed, "interactions", epoch, behavior).permutation(len(users))
            for behavior, (users, _) in enumerate(self._pairs)
        ]
        for step in range(first_step, self.n_steps):
            chosen = [
                (users[part], items[part])
                for (users, items), order in zip(self._pairs, orders, strict=True)
                for part in [order[slice(*self._bounds(len(order), step))]]
            ]
            yield self._batch(chosen, numpy_generator(self._seed, "negatives", epoch, step))

    def _bounds(self, n: int, step: int) -> tuple[int, int]:
        """Where a step's part of a behavior's n interactions begins and ends."""
        return step * n // self.n_steps, (step + 1) * n // self.n_steps

    def _batch(
        self,
        chosen: list[tuple[NDArray[np.int64], NDArray[np.int64]]],
        generator: np.random.Generator,
    ) -> Batch:
        n_negatives = self._config.negatives_per_positive
        users = np.unique(np.concatenate([users for users, _ in chosen]))
        drawn: list[Drawn] = []
        for sampler, (mine, items) in zip(self._behaviors, chosen, strict=True):
            order = np.argsort(mine, kind="stable")
            rows = np.searchsorted(users, mine[order])
            drawn.append(sampler.with_negatives(users, rows, items[order], n_negatives, generator))
        return build_batch(users, drawn, self._labels, n_negatives, self._device)


def _usable(matrix: Matrix, config: SamplingConfig) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Users and items of the interactions whose user leaves items for negatives, if wanted."""
    users, items = pair_rows(matrix), matrix.indices.astype(np.int64)
    if not config.negatives_per_positive:
        return users, items
    free = np.diff(matrix.indptr)[users] < matrix.shape[1]
    return users[free], items[free]
