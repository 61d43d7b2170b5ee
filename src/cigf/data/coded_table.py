"""One source's rows as numbers: read piece by piece, understood value by value, and checked."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cigf.data.behaviors import Behaviors
from cigf.data.coding import EMPTY, Coder
from cigf.data.columns import LEFT_OUT, NO_BEHAVIOR, as_text, behavior_meanings
from cigf.data.events import CodedEvents
from cigf.data.id_codes import IdCodes, KnownIds
from cigf.data.id_columns import check_ids
from cigf.data.options import ReadOptions
from cigf.data.read_log import SHOWN, ReadLog, name_rows
from cigf.data.schema import BEHAVIOR, ITEM, TIME, USER
from cigf.data.scratch import RowStore, Scratch
from cigf.data.table import Reread, Table
from cigf.data.times import LATEST, TimeReading, reading_of, reading_of_pieces

NO_TIME = np.iinfo(np.int64).min
"""Stands where a time is missing or none."""

Flags = NDArray[np.bool_]
Finder = Callable[[CodedEvents, NDArray[np.int16]], Flags]


@dataclass(frozen=True, eq=False)
class CodedTable:
    """The rows of a source.

    Args:
        table: The source.
        rows: Codes of user, item and behavior, and the time where there is one.
        timed: Whether the rows have times.
        users: What the codes of users mean; sources may share it.
        items: What the codes of items mean; sources may share it.
        behaviors: Index of the behavior, `LEFT_OUT` or `NO_BEHAVIOR`, by the code.
        bad: Reason -> finds the rows that cannot be used for it.
        n_good: Rows that count.
    """

    table: Table
    rows: RowStore
    timed: bool
    users: IdCodes
    items: IdCodes
    behaviors: NDArray[np.int16]
    bad: Mapping[str, Finder]
    n_good: int = 0

    def blocks(self) -> Iterator[CodedEvents]:
        """Yield the rows that count, some at a time; users and items by their codes."""
        for events, meant in self.all_rows():
            if self.n_good == self.rows.n_rows:
                yield events
                continue
            kept = counted(events, meant)
            for find in self.bad.values():
                kept &= ~find(events, meant)
            yield events.where(kept)

    def all_rows(self) -> Iterator[tuple[CodedEvents, NDArray[np.int16]]]:
        """Yield all rows, with what their behavior means, some at a time."""
        for users, items, codes, *times in self.rows.blocks():
            meant = self.behaviors[codes]
            time = times[0] if times else None
            yield CodedEvents(users, items, meant.astype(np.uint8), time), meant


def counted(events: CodedEvents, meant: NDArray[np.int16]) -> Flags:
    """Tell which rows count: those that are no empty lines and whose value is not left out."""
    found: Flags = (meant != LEFT_OUT) & (events.users != EMPTY)
    return found


def code_table(
    table: Table,
    columns: Mapping[str, str],
    options: ReadOptions,
    behaviors: Behaviors,
    log: ReadLog,
    scratch: Scratch,
    known: KnownIds,
) -> CodedTable:
    """Read a source.

    Args:
        table: The source.
        columns: Standard name -> its column.
        options: How behaviors and bad rows are understood.
        behaviors: The behaviors.
        log: Where bad rows and remarks are reported.
        scratch: Where rows wait if they are many.
        known: The ids of the sources that were read before.

    Raises:
        DataError: The source cannot be understood, or has rows that cannot be used and they are
            not to be skipped.
    """
    try:
        read = _read(table, columns, scratch, known)
    except Reread as again:
        table = again.table
        read = _read(table, columns, scratch, known)
    for name, ids in ((USER, read.users), (ITEM, read.items)):
        ids.clean(columns[name], table.source, log)
    if BEHAVIOR in columns:
        meanings = behavior_meanings(read.behaviors, table.source, options, behaviors, log)
    else:
        assert options.default_behavior is not None
        meanings = np.array([behaviors.index(options.default_behavior)], dtype=np.int16)
    timed, bad = TIME in columns, _bad_rows(read)
    coded = CodedTable(table, read.rows, timed, read.users, read.items, meanings, bad)
    return _checked(coded, log)


@dataclass(eq=False)
class _Read:
    """Rows as they were read, and what codes them."""

    users: IdCodes
    items: IdCodes
    behaviors: Coder
    rows: RowStore
    readings: set[TimeReading] = field(default_factory=set)
    earliest: int = 0
    latest: int = 0


def _read(
    table: Table,
    columns: Mapping[str, str],
    scratch: Scratch,
    known: KnownIds,
    reading: TimeReading | None = None,
) -> _Read:
    pieces = table.pieces()
    first = next(pieces)
    read = _Read(*_coders(first, columns, table.source, known), RowStore(scratch))
    with ThreadPoolExecutor(2) as pool:  # the two id columns are most of the work
        for piece in chain([first], pieces):
            _append(read, piece, table, columns, reading, pool)
    if len(read.readings) > 1:
        times = (piece[columns[TIME]] for piece in table.pieces())
        return _read(table, columns, scratch, known, reading_of_pieces(times))
    return read


def _coders(
    piece: pl.DataFrame, columns: Mapping[str, str], source: str, known: KnownIds
) -> tuple[IdCodes, IdCodes, Coder]:
    users, items = (
        known.begin(name, check_ids(piece[columns[name]], columns[name], source).dtype)
        for name in (USER, ITEM)
    )
    dtype: Any = pl.String
    if BEHAVIOR in columns:
        behavior = piece[columns[BEHAVIOR]]
        as_text(behavior.clear(), source)
        dtype = behavior.dtype
    return users, items, Coder(dtype)


def _append(
    read: _Read,
    piece: pl.DataFrame,
    table: Table,
    columns: Mapping[str, str],
    reading: TimeReading | None,
    pool: Executor,
) -> None:
    empty = _empty(piece) if table.unit == "line" and table.lines is None else None
    coding = [
        pool.submit(ids.coder.code, check_ids(piece[columns[name]], name, table.source), empty)
        for name, ids in ((USER, read.users), (ITEM, read.items))
    ]
    codes = [ids.result() for ids in coding]
    if BEHAVIOR in columns:
        codes.append(read.behaviors.code(piece[columns[BEHAVIOR]]))
    else:
        codes.append(np.zeros(piece.height, dtype=np.uint32))
    if TIME not in columns:
        read.rows.append(*codes)
        return
    column = piece[columns[TIME]]
    told = reading or reading_of(column)
    if told is not None:
        read.readings.add(told)
    times = (told or TimeReading("nothing")).apply(column).fill_null(NO_TIME).to_numpy()
    read.earliest = min(read.earliest, int(times.min(initial=0)))
    read.latest = max(read.latest, int(times.max(initial=0)))
    read.rows.append(*codes, times)


def _empty(piece: pl.DataFrame) -> pl.Series | None:
    """Tell which rows are empty lines, which are no rows."""
    if not piece[:, -1].null_count():
        return None
    return piece.select(pl.all_horizontal(pl.all().is_null())).to_series()


def _bad_rows(read: _Read) -> dict[str, Finder]:
    """Return reason -> what finds the rows that are bad for it, of those that may be."""
    found: dict[str, Finder] = {}
    no_user, no_item = read.users.missing, read.items.missing
    if no_user is not None:
        found[f"{USER} missing"] = lambda events, _: no_user[events.users]
    if no_item is not None:
        found[f"{ITEM} missing"] = lambda events, _: no_item[events.items]
    found[f"{BEHAVIOR} missing"] = lambda _, meant: meant == NO_BEHAVIOR
    if read.earliest < 0:
        found["timestamp missing or not a time"] = lambda events, _: _times(events) == NO_TIME
        found["negative timestamp"] = lambda events, _: (
            (_times(events) < 0) & (_times(events) != NO_TIME)
        )
    if read.latest > LATEST:
        found["timestamp after the year 9999"] = lambda events, _: _times(events) > LATEST
    return found


def _times(events: CodedEvents) -> NDArray[np.int64]:
    assert events.times is not None
    return events.times


def _checked(coded: CodedTable, log: ReadLog) -> CodedTable:
    """Report bad rows, and count the good ones of each user and item."""
    counts: Counter[str] = Counter()
    places: dict[str, list[int]] = {reason: [] for reason in coded.bad}
    start = n_good = 0
    for events, meant in coded.all_rows():
        good = rows = counted(events, meant)
        for reason, find in coded.bad.items():
            bad = find(events, meant) & rows
            if bad.any():
                counts[reason] += int(bad.sum())
                few = np.flatnonzero(bad)[: SHOWN + 1] + start
                places[reason] = [*places[reason], *few.tolist()][: SHOWN + 1]
                good = good & ~bad
        n_good += int(good.sum())
        coded.users.count(events.users[good])
        coded.items.count(events.items[good])
        start += len(events)
    for reason, rows_at in places.items():
        where = name_rows(coded.table.places(rows_at), coded.table.unit) if rows_at else ""
        log.bad_rows(reason, coded.table.source, counts[reason], where, _cure(reason))
    return replace(coded, n_good=n_good)


def _cure(reason: str) -> str:
    return "correct the times, pass --time-col '' to do without" if "timestamp" in reason else ""
