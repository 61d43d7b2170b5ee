"""Cleaning of coded events: minimum support (k-core) and compact row numbers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cigf.data.dataset import sorted_unique
from cigf.data.events import CodedEvents
from cigf.data.ids import IdMap


@dataclass(frozen=True)
class Dropped:
    """What a cleaning step left out."""

    users: int
    items: int
    events: int


def keep_core(
    events: CodedEvents, minimum: int, behavior: int | None = None
) -> tuple[CodedEvents, Dropped]:
    """Leave out users and items with fewer than `minimum` distinct pairs, until none is left.

    Args:
        events: The events.
        minimum: Pairs that every user and item must have.
        behavior: Count pairs of this behavior only; None: pairs of any.
    """
    n_users, n_items = _sizes(events)
    users, items = _distinct_pairs(events, behavior, n_items)
    user_kept, item_kept = _core(users, items, (n_users, n_items), minimum)
    kept = user_kept[events.users] & item_kept[events.items]
    left = events.where(kept)
    n_users_dropped = _n_distinct(events.users) - _n_distinct(left.users)
    n_items_dropped = _n_distinct(events.items) - _n_distinct(left.items)
    return left, Dropped(n_users_dropped, n_items_dropped, len(events) - len(left))


def _n_distinct(rows: NDArray[np.int64]) -> int:
    return int(np.count_nonzero(np.bincount(rows)))


def _sizes(events: CodedEvents) -> tuple[int, int]:
    return int(events.users.max(initial=-1)) + 1, int(events.items.max(initial=-1)) + 1


def _distinct_pairs(
    events: CodedEvents, behavior: int | None, n_items: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    chosen = events if behavior is None else events.where(events.behaviors == behavior)
    keys = sorted_unique(chosen.users * n_items + chosen.items)
    return np.divmod(keys, max(n_items, 1))


def _core(
    users: NDArray[np.int64], items: NDArray[np.int64], shape: tuple[int, int], minimum: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which users and items are in the k-core of the bipartite graph of the pairs."""
    while True:
        user_kept = np.bincount(users, minlength=shape[0]) >= minimum
        item_kept = np.bincount(items, minlength=shape[1]) >= minimum
        kept = user_kept[users] & item_kept[items]
        if kept.all():
            return user_kept, item_kept
        users, items = users[kept], items[kept]


def compact(events: CodedEvents, users: IdMap, items: IdMap) -> tuple[CodedEvents, IdMap, IdMap]:
    """Renumber users and items so that every row has an event; the order of ids stays."""
    user_rows, new_users = _renumber(events.users, users)
    item_rows, new_items = _renumber(events.items, items)
    if len(new_users) == len(users) and len(new_items) == len(items):
        return events, users, items
    renumbered = CodedEvents(
        user_rows[events.users], item_rows[events.items], events.behaviors, events.times
    )
    return renumbered, new_users, new_items


def _renumber(rows: NDArray[np.int64], ids: IdMap) -> tuple[NDArray[np.int64], IdMap]:
    present = np.zeros(len(ids), dtype=bool)
    present[rows] = True
    if present.all():
        return np.arange(len(ids), dtype=np.int64), ids
    return np.cumsum(present) - 1, IdMap(ids.external(np.flatnonzero(present)), ids.entity)
