"""Sampling by users: batches of users with pairs under every behavior, vectorized.

Axes: U users, I items, B behaviors, n pairs.
"""

from collections.abc import Generator, Iterator, Sequence
from functools import cached_property
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from cigf import compiled
from cigf.data.dataset import Matrix, contains, matrix_from_keys, pair_keys, union_of
from cigf.sampling.config import SamplingConfig
from cigf.seeding import numpy_generator
from cigf.shapes import Batch, Learns, Pairs

_STEPS_PER_DRAW = 8
"""Batches drawn at once: large arrays, so that little time goes to Python between them."""

_MOST_REDRAWS = 32
"""After so many rounds the few pairs left are drawn from an explicit list of what is free."""


Drawn = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""Positions of the users, positives, negatives."""


def learned_matrices(interactions: Sequence[Matrix], learns: Learns) -> tuple[Matrix, ...]:
    """Return the matrices whose pairs are sampled: see `Batch.pairs`."""
    if learns == "union":
        return (union_of(interactions),)
    if learns == "target":
        nothing = matrix_from_keys(np.empty(0, np.int64), interactions[-1].shape)
        return (*[nothing] * (len(interactions) - 1), interactions[-1])
    return tuple(interactions)


class Labels:
    """Which behaviors the pairs of the union have.

    Args:
        interactions: Training pairs, one matrix per behavior.
    """

    def __init__(self, interactions: Sequence[Matrix]) -> None:
        self._keys = [pair_keys(matrix) for matrix in interactions]
        self._n_items = interactions[0].shape[1]

    def of(self, users: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return 1 where the pair has the behavior, else 0; shape (n, B)."""
        wanted = users * self._n_items + items
        return np.stack([contains(keys, wanted) for keys in self._keys], axis=1).astype(np.float32)


class BehaviorSampler:
    """Draws positives and negatives of one behavior.

    Args:
        matrix: The behavior's training pairs.
    """

    def __init__(self, matrix: Matrix) -> None:
        self._offsets = np.asarray(matrix.indptr, dtype=np.int64)
        self._starts = self._offsets[:-1]
        self._degrees = np.diff(matrix.indptr).astype(np.int64)
        self._items = matrix.indices
        self._matrix = matrix
        self._n_items = matrix.shape[1]

    @cached_property
    def _keys(self) -> NDArray[np.int64]:
        return pair_keys(self._matrix)

    def counts(self, users: NDArray[np.int64], most: int, n_negatives: int) -> NDArray[np.int64]:
        """Return how many positives of each user `draw` draws."""
        degrees = self._degrees[users]
        counts = np.minimum(degrees, most) if most else degrees
        return np.where(degrees < self._n_items, counts, 0) if n_negatives else counts

    def draw(
        self,
        users: NDArray[np.int64],
        most: int,
        generator: np.random.Generator,
        n_negatives: int = 1,
    ) -> Drawn:
        """Draw min(most, degree) positives with replacement per user, and negatives for each.

        A user who has all items under this behavior has no negatives, so where there are to be
        some she is left out.

        Args:
            users: The users, shape (u,).
            most: Most pairs per user; 0 takes each of her interactions once.
            generator: Source of the draws.
            n_negatives: Negatives per positive.

        Returns:
            Positions in `users`, positives and negatives, each of shape (n,); without negatives
            the last is empty.
        """
        counts = self.counts(users, most, n_negatives)
        rows = np.repeat(np.arange(len(users)), counts)
        chosen = users[rows]
        if most:
            offsets = (generator.random(len(rows)) * self._degrees[chosen]).astype(np.int64)
        else:
            offsets = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        positives = self._items[self._starts[chosen] + offsets].astype(np.int64)
        return self.with_negatives(users, rows, positives, n_negatives, generator)

    def with_negatives(
        self,
        users: NDArray[np.int64],
        rows: NDArray[np.int64],
        positives: NDArray[np.int64],
        n_negatives: int,
        generator: np.random.Generator,
    ) -> Drawn:
        """Repeat each positive for its negatives, and draw them uniformly.

        Args:
            users: Some users, shape (u,).
            rows: Position in `users` of each positive's user, shape (p,).
            positives: Items, shape (p,).
            n_negatives: Negatives per positive.
            generator: Source of the draws.
        """
        if not n_negatives:
            return rows, positives, np.empty(0, np.int64)
        if n_negatives > 1:
            rows, positives = np.repeat(rows, n_negatives), np.repeat(positives, n_negatives)
        return rows, positives, self._negatives(users[rows], generator)

    def _negatives(
        self, users: NDArray[np.int64], generator: np.random.Generator
    ) -> NDArray[np.int64]:
        items = generator.integers(self._n_items, size=len(users))
        wrong = np.flatnonzero(self._has(users, items))
        for _ in range(_MOST_REDRAWS):
            if not len(wrong):
                return items
            items[wrong] = generator.integers(self._n_items, size=len(wrong))
            wrong = wrong[self._has(users[wrong], items[wrong])]
        for place in wrong:
            items[place] = generator.choice(self._free_items(int(users[place])))
        return items

    def _has(self, users: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether the pairs are known; both ways give the same answers."""
        if not compiled.usable():
            return contains(self._keys, users * self._n_items + items)
        from cigf.sampling.kernels import has_pairs  # needs numba

        found = np.empty(len(users), np.bool_)
        borders = compiled.split_evenly(len(users))
        compiled.run(has_pairs, borders, self._offsets, self._items, users, items, found)
        return found

    def _free_items(self, user: int) -> NDArray[np.int64]:
        start = self._starts[user]
        taken = self._items[start : start + self._degrees[user]]
        return np.setdiff1d(np.arange(self._n_items), taken, assume_unique=True)


class UserSampler:
    """Batches of users with their pairs under every behavior.

    Every batch is a function of (seed, epoch, step): a resumed run draws what a run that was
    never stopped would have drawn, and the sampler has no state to save.

    Args:
        interactions: Training pairs, one matrix per behavior.
        config: Numbers of users and pairs.
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
        self._behaviors = [BehaviorSampler(matrix) for matrix in learned]
        self._labels = Labels(interactions) if learns == "union" else None
        self._users = np.flatnonzero(sum(np.diff(matrix.indptr) for matrix in learned))

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
        yield from self.batches_of(self.users_of(epoch), epoch, first_step)

    def users_of(self, epoch: int) -> NDArray[np.int64]:
        """Return the users that an epoch visits, in its order."""
        generator = numpy_generator(self._seed, "users", epoch)
        return generator.permutation(self._users)[: self.users_per_epoch]

    def batches_of(
        self, users: NDArray[np.int64], epoch: int, first_step: int = 0, before: int = 0
    ) -> Iterator[Batch]:
        """Yield the batches of some users, from `first_step` on.

        Args:
            users: The users, in order.
            epoch: The epoch that they are a part of.
            first_step: Batches of theirs to leave out.
            before: Steps of the epoch before them.
        """
        size = self._config.batch_size
        for first in range(0, -(-len(users) // size), _STEPS_PER_DRAW):
            if first + _STEPS_PER_DRAW <= first_step:
                continue
            chosen = users[first * size : (first + _STEPS_PER_DRAW) * size]
            batches = self._batches(chosen, epoch, before + first)
            yield from islice(batches, max(0, first_step - first), None)

    def _batches(self, users: NDArray[np.int64], epoch: int, step: int) -> Iterator[Batch]:
        """Draw the pairs of several batches at once and cut them at the batches' borders."""
        config = self._config
        generator = numpy_generator(self._seed, "pairs", epoch, step)
        drawn = [
            sampler.draw(users, config.positives_per_user, generator, config.negatives_per_positive)
            for sampler in self._behaviors
        ]
        for start in range(0, len(users), config.batch_size):
            chosen = users[start : start + config.batch_size]
            cut = []
            for rows, positives, negatives in drawn:
                place = slice(*np.searchsorted(rows, [start, start + config.batch_size]))
                cut.append((rows[place] - start, positives[place], negatives[place]))
            yield build_batch(
                chosen, cut, self._labels, config.negatives_per_positive, self._device
            )


def build_batch(
    users: NDArray[np.int64],
    drawn: Sequence[Drawn],
    labels: Labels | None,
    n_negatives: int,
    device: torch.device | str,
) -> Batch:
    """Put drawn pairs on a device, with labels where there are to be some."""

    def tensor(values: NDArray[np.generic]) -> torch.Tensor:
        return torch.from_numpy(values).to(device)

    pairs = tuple(Pairs(*map(tensor, each)) for each in drawn)
    found = None
    if labels is not None:
        rows, positives, _ = drawn[0]
        found = tensor(labels.of(users[rows], positives))
    return Batch(tensor(users), pairs, found, max(1, n_negatives))
