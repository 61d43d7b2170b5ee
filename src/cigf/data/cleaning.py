"""Cleaning of pairs: minimum support (k-core) and compact row numbers.

Axes: U users, I items.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cigf.data.dataset import sorted_unique
from cigf.data.ids import IdMap
from cigf.data.pairs import BehaviorPairs, Pairs

Flags = NDArray[np.bool_]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Dropped:
    """What a cleaning step left out."""

    users: int
    items: int
    events: int


def keep_core(pairs: Pairs, minimum: int, behavior: int | None = None) -> tuple[Pairs, Dropped]:
    """Leave out users and items with fewer than `minimum` distinct pairs, until none is left.

    Args:
        pairs: The pairs.
        minimum: Pairs that every user and item must have.
        behavior: Count pairs of this behavior only; None: pairs of any.
    """
    n_items = max(pairs.shape[1], 1)
    if behavior is None:
        keys = sorted_unique(np.concatenate([each.keys for each in pairs.of]))
    else:
        keys = pairs.of[behavior].keys
    users, items = np.divmod(keys, n_items)
    user_kept, item_kept = _core(users, items, pairs.shape, minimum)
    left = Pairs(
        tuple(
            each.where(user_kept[users] & item_kept[items])
            for each, users, items in pairs.users_and_items()
        ),
        pairs.shape,
    )
    before, after = present(pairs), present(left)
    n_users, n_items = (int(b.sum()) - int(a.sum()) for b, a in zip(before, after, strict=True))
    return left, Dropped(n_users, n_items, pairs.n_events - left.n_events)


def present(pairs: Pairs) -> tuple[Flags, Flags]:
    """Return which users and items have a pair of any behavior."""
    users, items = (np.zeros(size, dtype=bool) for size in pairs.shape)
    for _, of_users, of_items in pairs.users_and_items():
        users[of_users] = True
        items[of_items] = True
    return users, items


def _core(users: Rows, items: Rows, shape: tuple[int, int], minimum: int) -> tuple[Flags, Flags]:
    """Return which users and items are in the k-core of the bipartite graph of the pairs."""
    while True:
        user_kept = np.bincount(users, minlength=shape[0]) >= minimum
        item_kept = np.bincount(items, minlength=shape[1]) >= minimum
        kept = user_kept[users] & item_kept[items]
        if kept.all():
            return user_kept, item_kept
        users, items = users[kept], items[kept]


def compact(pairs: Pairs, users: IdMap, items: IdMap) -> tuple[Pairs, IdMap, IdMap]:
    """Renumber users and items so that every row has a pair; the order of ids stays."""
    user_kept, item_kept = present(pairs)
    if user_kept.all() and item_kept.all():
        return pairs, users, items
    user_rows, item_rows = np.cumsum(user_kept) - 1, np.cumsum(item_kept) - 1
    shape = (int(user_kept.sum()), int(item_kept.sum()))
    renumbered = tuple(
        BehaviorPairs(user_rows[u] * shape[1] + item_rows[i], each.counts, each.times)
        for each, u, i in pairs.users_and_items()
    )
    return Pairs(renumbered, shape), _kept(users, user_kept), _kept(items, item_kept)


def _kept(ids: IdMap, kept: Flags) -> IdMap:
    return ids if kept.all() else IdMap(ids.external(np.flatnonzero(kept)), ids.entity)
