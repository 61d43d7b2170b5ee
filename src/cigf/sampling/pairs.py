"""Pairwise sampling over all behaviors, vectorized.

Axes: U users, I items, n pairs.
"""

from collections.abc import Generator, Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from cigf.data.dataset import Matrix, contains, pair_keys
from cigf.sampling.config import SamplingConfig
from cigf.seeding import numpy_generator
from cigf.shapes import Batch, Pairs

_STEPS_PER_DRAW = 8
"""Batches drawn at once: large arrays, so that little time goes to Python between them."""

_MOST_REDRAWS = 32
"""After so many rounds the few pairs left are drawn from an explicit list of what is free."""


class BehaviorSampler:
    """Draws positives and negatives of one behavior.

    Args:
        matrix: The behavior's training pairs.
    """

    def __init__(self, matrix: Matrix) -> None:
        self._starts = np.asarray(matrix.indptr[:-1], dtype=np.int64)
        self._degrees = np.diff(matrix.indptr).astype(np.int64)
        self._items = matrix.indices
        self._keys = pair_keys(matrix)
        self._n_items = matrix.shape[1]

    def draw(
        self, users: NDArray[np.int64], most: int, generator: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Draw min(most, degree) positives with replacement per user, and a negative for each.

        A user who has all items under this behavior has no negatives, so she is left out.

        Args:
            users: The users, shape (u,).
            most: Most pairs per user.
            generator: Source of the draws.

        Returns:
            Positions in `users`, positives and negatives, each of shape (n,).
        """
        degrees = self._degrees[users]
        counts = np.where(degrees < self._n_items, np.minimum(degrees, most), 0)
        rows = np.repeat(np.arange(len(users)), counts)
        chosen = users[rows]
        offsets = (generator.random(len(rows)) * self._degrees[chosen]).astype(np.int64)
        positives = self._items[self._starts[chosen] + offsets].astype(np.int64)
        return rows, positives, self._negatives(chosen, generator)

    def _negatives(
        self, users: NDArray[np.int64], generator: np.random.Generator
    ) -> NDArray[np.int64]:
        items = generator.integers(self._n_items, size=len(users))
        wrong = np.flatnonzero(contains(self._keys, users * self._n_items + items))
        for _ in range(_MOST_REDRAWS):
            if not len(wrong):
                return items
            items[wrong] = generator.integers(self._n_items, size=len(wrong))
            hit = contains(self._keys, users[wrong] * self._n_items + items[wrong])
            wrong = wrong[hit]
        for place in wrong:
            items[place] = generator.choice(self._free_items(int(users[place])))
        return items

    def _free_items(self, user: int) -> NDArray[np.int64]:
        start = self._starts[user]
        taken = self._items[start : start + self._degrees[user]]
        return np.setdiff1d(np.arange(self._n_items), taken, assume_unique=True)


class PairSampler:
    """Batches of users with their pairs under every behavior.

    Every batch is a function of (seed, epoch, step): a resumed run draws what a run that was
    never stopped would have drawn, and the sampler has no state to save.

    Args:
        interactions: Training pairs, one matrix per behavior.
        config: Numbers of users and pairs.
        seed: The run's seed.
        device: Where the batches go.
    """

    def __init__(
        self,
        interactions: Sequence[Matrix],
        config: SamplingConfig,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self._config = config
        self._seed = seed
        self._device = device
        self._behaviors = [BehaviorSampler(matrix) for matrix in interactions]
        active = sum(np.diff(matrix.indptr) for matrix in interactions)
        self._users = np.flatnonzero(active)

    @property
    def users_per_epoch(self) -> int:
        """Users that an epoch visits."""
        return min(self._config.users_per_epoch, len(self._users))

    @property
    def n_steps(self) -> int:
        """Batches per epoch."""
        return -(-self.users_per_epoch // self._config.batch_size)

    def epoch(self, epoch: int, first_step: int = 0) -> Generator[Batch, None, None]:
        """Yield the batches of an epoch, from `first_step` on."""
        generator = numpy_generator(self._seed, "users", epoch)
        users = generator.permutation(self._users)[: self.users_per_epoch]
        size = self._config.batch_size
        for first in range(0, self.n_steps, _STEPS_PER_DRAW):
            if first + _STEPS_PER_DRAW <= first_step:
                continue
            chosen = users[first * size : (first + _STEPS_PER_DRAW) * size]
            batches = self._batches(chosen, numpy_generator(self._seed, "pairs", epoch, first))
            yield from islice(batches, max(0, first_step - first), None)

    def _batches(self, users: NDArray[np.int64], generator: np.random.Generator) -> Iterator[Batch]:
        """Draw the pairs of several batches at once and cut them at the batches' borders."""
        size, most = self._config.batch_size, self._config.positives_per_user
        drawn = [sampler.draw(users, most, generator) for sampler in self._behaviors]
        for start in range(0, len(users), size):
            pairs = []
            for rows, positives, negatives in drawn:
                place = slice(*np.searchsorted(rows, [start, start + size]))
                cut = (rows[place] - start, positives[place], negatives[place])
                pairs.append(Pairs(*map(self._tensor, cut)))
            yield Batch(self._tensor(users[start : start + size]), tuple(pairs))

    def _tensor(self, values: NDArray[np.int64]) -> torch.Tensor:
        return torch.from_numpy(values).to(self._device)
