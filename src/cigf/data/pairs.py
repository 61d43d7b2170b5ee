"""What a log comes down to: the distinct pairs of each behavior, and how many events each had.

Axes: U users, I items, B behaviors; n pairs of a behavior.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cigf.data.behaviors import Behaviors
from cigf.data.dataset import Dataset, Times, matrix_from_keys
from cigf.data.events import CodedEvents
from cigf.data.ids import IdMap
from cigf.data.side_by_side import side_by_side

Keys = NDArray[np.int64]
Counts = NDArray[np.uint32]


@dataclass(frozen=True, eq=False)
class BehaviorPairs:
    """The pairs of a behavior.

    Args:
        keys: user * I + item of each pair, n, ascending.
        counts: Events of each pair, n.
        times: Last time of each pair, n, or None where the log has no times.
    """

    keys: Keys
    counts: Counts
    times: Times | None

    def where(self, kept: NDArray[np.bool_]) -> "BehaviorPairs":
        """Return the pairs where `kept` holds."""
        times = None if self.times is None else self.times[kept]
        return BehaviorPairs(self.keys[kept], self.counts[kept], times)


@dataclass(frozen=True, eq=False)
class Pairs:
    """The pairs of all behaviors.

    Args:
        of: The pairs of each behavior, B.
        shape: U and I.
    """

    of: tuple[BehaviorPairs, ...]
    shape: tuple[int, int]

    @property
    def n_events(self) -> int:
        """How many events the pairs had in all."""
        return sum(int(pairs.counts.sum(dtype=np.int64)) for pairs in self.of)

    def users_and_items(self) -> Iterator[tuple[BehaviorPairs, Keys, Keys]]:
        """Yield the pairs of each behavior with their users and items."""
        for pairs in self.of:
            users, items = np.divmod(pairs.keys, max(self.shape[1], 1))
            yield pairs, users, items

    def dataset(self, behaviors: Behaviors, users: IdMap, items: IdMap) -> Dataset:
        """Return the binary matrices of the pairs."""
        matrices = tuple(matrix_from_keys(pairs.keys, self.shape) for pairs in self.of)
        return Dataset(behaviors, users, items, matrices, tuple(pairs.times for pairs in self.of))


def pairs_of(blocks: Iterator[CodedEvents], n_behaviors: int, shape: tuple[int, int]) -> Pairs:
    """Return the pairs of events that come in blocks of ascending users.

    Of a pair that repeats the last time is kept. Memory is that of the pairs and of one block.

    Args:
        blocks: The events; those of one user are all in the same block.
        n_behaviors: B.
        shape: U and I.
    """
    found: list[list[BehaviorPairs]] = [[] for _ in range(n_behaviors)]
    for each in side_by_side(lambda events: _collapse(events, n_behaviors, shape[1]), blocks):
        for behavior, pairs in enumerate(each):
            found[behavior].append(pairs)
    return Pairs(tuple(_joined(parts) for parts in found), shape)


def _collapse(events: CodedEvents, n_behaviors: int, n_items: int) -> list[BehaviorPairs]:
    """Return the pairs of each behavior of one block."""
    found = []
    for behavior in range(n_behaviors):
        chosen = events.where(events.behaviors == behavior)
        keys = chosen.users.astype(np.int64) * n_items + chosen.items
        order = np.argsort(keys)
        ordered = keys[order]
        first = np.ones(len(keys), dtype=bool)
        np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
        starts = np.flatnonzero(first)
        counts = np.diff(starts, append=len(keys)).astype(np.uint32)
        times = None
        if chosen.times is not None:
            times = chosen.times[order]
            times = np.maximum.reduceat(times, starts) if len(starts) else times
        found.append(BehaviorPairs(ordered[starts], counts, times))
    return found


def _joined(parts: list[BehaviorPairs]) -> BehaviorPairs:
    if not parts:
        nothing = np.empty(0, np.int64)
        return BehaviorPairs(nothing, nothing.astype(np.uint32), None)
    if len(parts) == 1:
        return parts[0]
    times = [part.times for part in parts if part.times is not None]
    keys: NDArray[Any] = np.concatenate([part.keys for part in parts])
    counts = np.concatenate([part.counts for part in parts])
    return BehaviorPairs(keys, counts, np.concatenate(times) if times else None)
