"""Sampled candidates of the protocol 1+99: drawn once per seed, without replacement, stored.

Axes: I items, n held-out pairs, c candidates.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cigf.data.dataset import Dataset, contains, pair_keys, sorted_unique
from cigf.data.side_by_side import side_by_side
from cigf.data.splitting import Candidates, HeldOut, Part
from cigf.seeding import numpy_generator

BLOCK = 65536
"""Pairs drawn at a time, which bounds the memory."""

Keys = NDArray[np.int64]
Ints = NDArray[np.int64]


def candidate_generator(seed: int, part: Part, behavior: str) -> np.random.Generator:
    """Return the generator from which the candidates of a part and behavior are drawn."""
    return numpy_generator(seed, f"candidates/{part}/{behavior}")


def draw_candidates(
    history: Dataset,
    held_out: HeldOut,
    behavior: int,
    n: int,
    generator: np.random.Generator,
) -> Candidates:
    """Draw `n` competitors of each held-out pair.

    Args:
        history: What is known when the pairs are judged.
        held_out: The pairs.
        behavior: Index of their behavior.
        n: Candidates per pair.
        generator: Source of the draws; equal generators give equal candidates.

    Returns:
        `all`: items the user has not in that behavior; `group`: for a touched pair, items she has
        touched under another behavior and not in this one; for a new pair, items she has never
        touched. No held-out item of the user is among them; -1 fills up where there are too few.
    """
    touched = pair_keys(history.touched(behavior))
    own = pair_keys(history.interactions[behavior])
    wanted = held_out.users * history.n_items + held_out.items
    pairs = sorted_unique(wanted)
    is_touched = contains(touched, wanted)
    taken = sorted_unique(np.concatenate([own, pairs]))
    known = sorted_unique(np.concatenate([taken, touched]))
    only_touched = _Pool.of(touched[~contains(pairs, touched)], history)
    group = np.full((len(held_out), n), -1, dtype=np.int32)
    everything = _Pool.outside(taken, history).draw(held_out.users, n, generator)
    group[is_touched] = only_touched.draw(held_out.users[is_touched], n, generator)
    untouched = _Pool.outside(known, history)
    group[~is_touched] = untouched.draw(held_out.users[~is_touched], n, generator)
    return Candidates(everything, group)


@dataclass(frozen=True, eq=False)
class _Pool:
    """For each user, the items she may be given: those listed, or those not listed.

    Args:
        keys: user * I + item of the listed pairs, sorted.
        indptr: Where each user's part of `keys` begins.
        n_items: I.
        listed: Whether the listed items are the pool, or all others are.
    """

    keys: Keys
    indptr: Ints
    n_items: int
    listed: bool

    @classmethod
    def of(cls, keys: Keys, history: Dataset) -> "_Pool":
        bounds = np.arange(history.n_users + 1, dtype=np.int64) * history.n_items
        return cls(keys, np.searchsorted(keys, bounds), history.n_items, listed=True)

    @classmethod
    def outside(cls, keys: Keys, history: Dataset) -> "_Pool":
        pool = cls.of(keys, history)
        return cls(pool.keys, pool.indptr, pool.n_items, listed=False)

    def draw(self, users: Ints, n: int, generator: np.random.Generator) -> NDArray[np.int32]:
        """Return `n` distinct items of each user's pool, -1 where there are fewer."""
        if not self.listed:
            _ = self._others_before  # once, before threads ask for it
        blocks = [users[start : start + BLOCK] for start in range(0, len(users), BLOCK)]
        ranks = (draw_ranks(self._sizes(block), n, generator) for block in blocks)
        drawn = list(side_by_side(self._drawn, zip(blocks, ranks, strict=True)))
        return np.concatenate([np.empty((0, n), dtype=np.int32), *drawn])

    def _drawn(self, drawn: tuple[Ints, Ints]) -> NDArray[np.int32]:
        users, ranks = drawn
        items = self._items_at(users, np.maximum(ranks, 0))
        return np.where(ranks < 0, -1, items).astype(np.int32)

    def _sizes(self, users: Ints) -> Ints:
        listed = self.indptr[users + 1] - self.indptr[users]
        return listed if self.listed else self.n_items - listed

    def _items_at(self, users: Ints, ranks: Ints) -> Ints:
        """Return the item at each rank of the user's pool, the pool taken in ascending order."""
        if self.listed:
            places = np.minimum(self.indptr[users][:, None] + ranks, max(len(self.keys) - 1, 0))
            return self.keys[places] % self.n_items if len(self.keys) else ranks
        wanted = users[:, None] * (self.n_items + 1) + ranks
        below = np.searchsorted(self._others_before, wanted, side="right")
        return ranks + below - self.indptr[users][:, None]

    @cached_property
    def _others_before(self) -> Keys:
        """For each listed item, user * (I + 1) + the number of unlisted items before it.

        The listed items with no more than `rank` unlisted ones before them lie below the unlisted
        item of that rank, and push it up by one each.
        """
        rows, items = np.divmod(self.keys, self.n_items)
        before = items - (np.arange(len(self.keys)) - self.indptr[rows])
        others: Keys = rows * (self.n_items + 1) + before
        return others


def draw_ranks(sizes: Ints, n: int, generator: np.random.Generator) -> Ints:
    """Return, per row, `n` distinct numbers below that row's size, -1 where there are fewer."""
    ranks = np.full((len(sizes), n), -1, dtype=np.int64)
    # Drawing again what was drawn twice is quick only where there is plenty to draw from.
    few = sizes < 4 * n
    ranks[few] = _shuffle_ranks(sizes[few], n, generator)
    ranks[~few] = _reject_ranks(sizes[~few], n, generator)
    return ranks


def _shuffle_ranks(sizes: Ints, n: int, generator: np.random.Generator) -> Ints:
    width = max(int(sizes.max(initial=0)), n)
    keys = generator.random((len(sizes), width), dtype=np.float32)
    keys[np.arange(width) >= sizes[:, None]] = 2.0
    chosen = np.argsort(keys, axis=1, kind="stable")[:, :n]
    return np.where(np.arange(n) < sizes[:, None], chosen, -1)


def _reject_ranks(sizes: Ints, n: int, generator: np.random.Generator) -> Ints:
    ranks = np.sort(generator.integers(0, sizes[:, None], (len(sizes), n)), axis=1)
    open_rows = np.arange(len(sizes))
    while len(open_rows):
        rows = ranks[open_rows]
        twice = np.zeros(rows.shape, dtype=bool)
        twice[:, 1:] = rows[:, 1:] == rows[:, :-1]
        again = twice.any(axis=1)
        open_rows, rows, twice = open_rows[again], rows[again], twice[again]
        limits = np.broadcast_to(sizes[open_rows][:, None], rows.shape)[twice]
        rows[twice] = generator.integers(0, limits)
        ranks[open_rows] = np.sort(rows, axis=1)
    return ranks
