"""Coded events: the event log with row numbers instead of ids, and the matrices made of it.

Axes: U users, I items.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cigf.data.behaviors import Behaviors
from cigf.data.dataset import Dataset, Matrix, Times, matrix_from_keys, sorted_unique
from cigf.data.ids import IdMap
from cigf.data.schema import BEHAVIOR, ITEM, TIME, USER, Interactions


@dataclass(frozen=True, eq=False)
class CodedEvents:
    """Events by row numbers.

    Args:
        users: Row of each event's user, shape (n,), int64.
        items: Row of each event's item, shape (n,), int64.
        behaviors: Index of each event's behavior, shape (n,), uint8.
        times: Milliseconds, shape (n,), or None where the log has no times.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]
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


def build_dataset(events: CodedEvents, behaviors: Behaviors, users: IdMap, items: IdMap) -> Dataset:
    """Return the binary matrices of the events; of a repeated pair the last time is kept."""
    shape = (len(users), len(items))
    matrices: list[Matrix] = []
    all_times: list[Times | None] = []
    for index in range(len(behaviors)):
        matrix, times = _last_pairs(events.where(events.behaviors == index), shape)
        matrices.append(matrix)
        all_times.append(times)
    return Dataset(behaviors, users, items, tuple(matrices), tuple(all_times))


def _last_pairs(events: CodedEvents, shape: tuple[int, int]) -> tuple[Matrix, Times | None]:
    keys = events.users * shape[1] + events.items
    if events.times is None:
        return matrix_from_keys(sorted_unique(keys), shape), None
    order = np.lexsort((events.times, keys))
    keys = keys[order]
    last = np.append(keys[1:] != keys[:-1], True)[: len(keys)]
    return matrix_from_keys(keys[last], shape), events.times[order[last]]
