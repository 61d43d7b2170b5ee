"""Sampling by users where the training is: pairs are drawn on the GPU and never travel.

What is drawn is distributed as `sampling.users` draws it, but these are other draws: the device's
generator makes them. Negatives need no second attempt: a user's r-th item that is not hers is found
by one binary search.

Axes: U users, I items, n pairs.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from cigf.data.dataset import Matrix, pair_rows
from cigf.sampling.config import SamplingConfig
from cigf.sampling.users import UserSampler, learned_matrices
from cigf.seeding import derive_seed
from cigf.shapes import Batch, Learns, Pairs


class DeviceRows:
    """One behavior's training pairs on a device, to draw from.

    Args:
        matrix: The pairs.
        device: The device.
    """

    def __init__(self, matrix: Matrix, device: torch.device | str) -> None:
        self._n_items = matrix.shape[1]
        starts = np.asarray(matrix.indptr, np.int64)
        rows = pair_rows(matrix)
        place = np.arange(len(rows)) - starts[rows]
        # A row's j-th item has items[j] - j items before it that are not the row's.
        before = rows * self._n_items + matrix.indices - place
        self._starts = torch.from_numpy(starts.copy()).to(device)
        self._items = torch.from_numpy(matrix.indices.copy()).to(device)
        self._before = torch.from_numpy(before).to(device)

    def positives(
        self, users: Int64[Tensor, "n"], generator: torch.Generator
    ) -> Int64[Tensor, "n"]:
        """Draw one of each user's items."""
        starts = self._starts[users]
        return self._items[starts + _below(self._starts[users + 1] - starts, generator)].long()

    def in_order(self, users: Int64[Tensor, "n"], places: Int64[Tensor, "n"]) -> Int64[Tensor, "n"]:
        """Return each user's item at a place in her row."""
        return self._items[self._starts[users] + places].long()

    def negatives(
        self, users: Int64[Tensor, "n"], generator: torch.Generator
    ) -> Int64[Tensor, "n"]:
        """Draw an item that is not the user's, for each of some users who do not have all."""
        starts = self._starts[users]
        rank = _below(self._n_items - (self._starts[users + 1] - starts), generator)
        passed = torch.searchsorted(self._before, users * self._n_items + rank, right=True)
        return rank + passed - starts


def _below(bounds: Int64[Tensor, "n"], generator: torch.Generator) -> Int64[Tensor, "n"]:
    """Draw whole numbers from 0 to below some bounds."""
    # In double precision, which tells all items of any catalog apart.
    uniform = torch.rand(
        len(bounds), generator=generator, dtype=torch.float64, device=bounds.device
    )
    return (uniform * bounds).long()


class DeviceUserSampler(UserSampler):
    """`UserSampler` whose pairs are drawn on the device; the users and their numbers are not.

    Args:
        interactions: Training pairs, one matrix per behavior.
        config: Numbers of users and pairs.
        seed: The run's seed.
        device: Where pairs are drawn.
        learns: Whose labels are wanted; not the union's, whose labels are looked up by NumPy.
    """

    def __init__(
        self,
        interactions: Sequence[Matrix],
        config: SamplingConfig,
        seed: int,
        device: torch.device | str,
        learns: Learns = "behaviors",
    ) -> None:
        super().__init__(interactions, config, seed, device, learns)
        self._rows = [DeviceRows(each, device) for each in learned_matrices(interactions, learns)]

    def _batches(self, users: NDArray[np.int64], epoch: int, step: int) -> Iterator[Batch]:
        config = self._config
        generator = torch.Generator(self._device)
        generator.manual_seed(derive_seed(self._seed, "pairs on a device", epoch, step))
        most, n_negatives = config.positives_per_user, config.negatives_per_positive
        there = torch.from_numpy(users).to(self._device)
        every, borders = [], []
        starts = np.arange(0, len(users) + config.batch_size, config.batch_size)
        for sampler, known in zip(self._behaviors, self._rows, strict=True):
            counts = sampler.counts(users, most, n_negatives)
            ends = np.append(0, counts.cumsum()) * max(1, n_negatives)
            borders.append(ends[np.minimum(starts, len(users))].tolist())
            every.append(self._draw(known, there, torch.from_numpy(counts), generator))
        for number, start in enumerate(starts[:-1].tolist()):
            pairs = []
            for (rows, *items), border in zip(every, borders, strict=True):
                place = slice(border[number], border[number + 1])
                pairs.append(Pairs(rows[place] - start, *(each[place] for each in items)))
            chosen = there[start : start + config.batch_size]
            yield Batch(chosen, tuple(pairs), None, max(1, n_negatives))

    def _draw(
        self, known: DeviceRows, users: Tensor, counts: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw the given number of each user's pairs: their places, positives and negatives."""
        total = int(counts.sum())
        counts = counts.to(users.device)
        places = torch.arange(len(users), device=users.device)
        rows = torch.repeat_interleave(places, counts, output_size=total)
        if self._config.positives_per_user:
            positives = known.positives(users[rows], generator)
        else:  # all of hers, one after the other
            firsts = counts.cumsum(0) - counts
            order = torch.arange(total, device=users.device) - firsts[rows]
            positives = known.in_order(users[rows], order)
        n_negatives = self._config.negatives_per_positive
        if not n_negatives:
            return rows, positives, positives[:0]
        if n_negatives > 1:
            rows, positives = (x.repeat_interleave(n_negatives) for x in (rows, positives))
        return rows, positives, known.negatives(users[rows], generator)
