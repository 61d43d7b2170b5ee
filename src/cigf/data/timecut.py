"""The global time cut: nothing after it, in any behavior, is seen in training."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from cigf.data.dataset import Dataset, contains, pair_keys
from cigf.data.events import CodedEvents
from cigf.data.holdouts import held_out_pairs
from cigf.data.ids import UNKNOWN
from cigf.data.splitting import HeldOut
from cigf.errors import DataError


@dataclass(frozen=True, eq=False)
class Cut:
    """Events up to a moment, and those after it."""

    past: CodedEvents
    future: CodedEvents
    time: int


def cut_by_time(events: CodedEvents, target: int, share: float) -> Cut:
    """Cut so that about `share` of the target events lie after the cut.

    Events of the moment of the cut itself belong to the past.

    Raises:
        DataError: There are no times, or no target event lies on one side of the cut.
    """
    if events.times is None:
        raise DataError(
            "split time: the log has no times; name their column with --time-col, "
            "or choose --split last, random or none"
        )
    times = np.sort(events.times[events.behaviors == target])
    if not len(times) or times[0] == times[-1]:
        raise DataError(
            "split time: all target events have the same time, so no cut divides them; "
            "choose --split last, random or none"
        )
    cut = int(times[max(int(len(times) * (1 - share)) - 1, 0)])
    if cut == times[-1]:  # the last moment alone holds more than the share
        cut = int(times[times < cut][-1])
    past = events.times <= cut
    return Cut(events.where(past), events.where(~past), cut)


def new_pairs(events: CodedEvents, history: Dataset) -> tuple[dict[str, HeldOut], int]:
    """Return, per behavior, the pairs of later events that can be judged.

    A pair counts if its user and item have an event in the history and the pair itself has none of
    that behavior. Also returns how many events had an unknown one.
    """
    known_users, known_items = _present(history)
    known = (events.users != UNKNOWN) & (events.items != UNKNOWN)
    known[known] = known_users[events.users[known]] & known_items[events.items[known]]
    held_out = {}
    for index, name in enumerate(history.behaviors):
        chosen = events.where(known & (events.behaviors == index))
        pairs = held_out_pairs(chosen.users, chosen.items, history.n_items)
        keys = pairs.users * history.n_items + pairs.items
        new = ~contains(pair_keys(history.interactions[index]), keys)
        held_out[name] = HeldOut(pairs.users[new], pairs.items[new])
    return held_out, int((~known).sum())


def _present(history: Dataset) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    users = np.zeros(history.n_users, dtype=bool)
    items = np.zeros(history.n_items, dtype=bool)
    for matrix in history.interactions:
        users |= np.diff(matrix.indptr) > 0
        items[matrix.indices] = True
    return users, items


def in_words(milliseconds: int) -> str:
    """Return a time as ISO 8601 in UTC."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
