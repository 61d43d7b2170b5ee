"""Coded events: the event log with row numbers instead of ids."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cigf.data.dataset import Times
from cigf.data.ids import IdMap
from cigf.data.schema import BEHAVIOR, ITEM, TIME, USER, Interactions


@dataclass(frozen=True, eq=False)
class CodedEvents:
    """Events by row numbers.

    Args:
        users: Row of each event's user, shape (n,).
        items: Row of each event's item, shape (n,).
        behaviors: Index of each event's behavior, shape (n,), uint8.
        times: Milliseconds, shape (n,), or None where the log has no times.
    """

    users: NDArray[np.integer[Any]]
    items: NDArray[np.integer[Any]]
    behaviors: NDArray[np.uint8]
    times: Times | None

    def __len__(self) -> int:
        return len(self.users)

    def where(self, keep: NDArray[np.bool_]) -> "CodedEvents":
        """Return the events where `keep` holds."""
        times = None if self.times is None else self.times[keep]
        return CodedEvents(self.users[keep], self.items[keep], self.behaviors[keep], times)


def code_events(interactions: Interactions) -> tuple[CodedEvents, IdMap, IdMap]:
    """Return the events with row numbers, and the sorted ids of users and items."""
    frame = interactions.events
    users, user_ids = _code(frame[USER], "user")
    items, item_ids = _code(frame[ITEM], "item")
    behaviors = frame[BEHAVIOR].to_physical().to_numpy().astype(np.uint8)
    times = frame[TIME].to_numpy() if interactions.has_times else None
    return CodedEvents(users, items, behaviors, times), user_ids, item_ids


def _code(column: pl.Series, entity: str) -> tuple[NDArray[np.int64], IdMap]:
    ids = IdMap(column.unique().sort(), entity)
    return ids.find(column), ids
