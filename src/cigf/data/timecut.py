"""The global time cut: nothing after it, in any behavior, is seen in training."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from cigf.data.dataset import Dataset, contains, pair_keys
from cigf.data.event_log import Blocks
from cigf.data.events import CodedEvents
from cigf.data.ids import UNKNOWN
from cigf.data.pairs import pairs_of
from cigf.data.splitting import HeldOut
from cigf.errors import DataError

Rows = NDArray[np.int64]


def time_of_cut(blocks: Blocks, target: int, share: float) -> int:
    """Return the moment after which about `share` of the target events lie.

    Events of the moment itself belong to the past.

    Raises:
        DataError: There are no times, or no target event lies on one side of the cut.
    """
    times = _target_times(blocks, target)
    if not len(times) or times[0] == times[-1]:
        raise DataError(
            "split time: all target events have the same time, so no cut divides them; "
            "choose --split last, random or none"
        )
    cut = int(times[max(int(len(times) * (1 - share)) - 1, 0)])
    if cut == times[-1]:  # the last moment alone holds more than the share
        cut = int(times[times < cut][-1])
    return cut


def _target_times(blocks: Blocks, target: int) -> NDArray[np.int64]:
    found = [np.empty(0, dtype=np.int64)]
    for events in blocks():
        if events.times is None:
            raise DataError(
                "split time: the log has no times; name their column with --time-col, "
                "or choose --split last, random or none"
            )
        found.append(events.times[events.behaviors == target])
    return np.sort(np.concatenate(found))


def until(blocks: Blocks, time: int, *, after: bool = False) -> Blocks:
    """Return the events up to a moment, or those after it."""

    def chosen() -> Iterator[CodedEvents]:
        for events in blocks():
            assert events.times is not None
            yield events.where((events.times > time) == after)

    return chosen


def renumbered(blocks: Blocks, users: Rows, items: Rows) -> Blocks:
    """Return events in the rows of another dataset.

    Args:
        blocks: The events.
        users: Its row of each user, `UNKNOWN` (-1) where it lacks her.
        items: Likewise.
    """

    def numbered() -> Iterator[CodedEvents]:
        for events in blocks():
            rows = users[events.users], items[events.items]
            yield CodedEvents(*rows, events.behaviors, events.times)

    return numbered


def known_only(blocks: Blocks) -> Blocks:
    """Return the events without those of an `UNKNOWN` user or item."""

    def known() -> Iterator[CodedEvents]:
        for events in blocks():
            yield events.where((events.users != UNKNOWN) & (events.items != UNKNOWN))

    return known


def new_pairs(blocks: Blocks, history: Dataset) -> tuple[dict[str, HeldOut], int]:
    """Return, per behavior, the pairs of later events that can be judged.

    A pair counts if its user and item have an event in the history and the pair itself has none of
    that behavior. Also returns how many events had an unknown one.
    """
    known_users, known_items = _present(history)
    shape, n_unknown = (history.n_users, history.n_items), 0

    def known() -> Iterator[CodedEvents]:
        nonlocal n_unknown
        for events in blocks():
            kept = (events.users != UNKNOWN) & (events.items != UNKNOWN)
            kept[kept] = known_users[events.users[kept]] & known_items[events.items[kept]]
            n_unknown += int((~kept).sum())
            yield events.where(kept)

    held_out = {}
    later = pairs_of(known(), len(history.behaviors), shape)
    for name, matrix, pairs in zip(history.behaviors, history.interactions, later.of, strict=True):
        new = ~contains(pair_keys(matrix), pairs.keys)
        held_out[name] = HeldOut(*np.divmod(pairs.keys[new], max(shape[1], 1)))
    return held_out, n_unknown


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
