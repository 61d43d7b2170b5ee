"""An event log by row numbers, in blocks of which only one is in memory.

Axes: U users, I items.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cigf.data import limits
from cigf.data.behaviors import Behaviors
from cigf.data.coded_table import CodedTable
from cigf.data.events import CodedEvents, code_events
from cigf.data.id_codes import IdCodes
from cigf.data.id_columns import unify_ids
from cigf.data.ids import IdMap
from cigf.data.read_log import ReadLog
from cigf.data.schema import BEHAVIOR, ITEM, TIME, USER, Interactions, behavior_type
from cigf.data.scratch import RowStore, Scratch

Rows = NDArray[np.int64]
Blocks = Callable[[], Iterator[CodedEvents]]


@dataclass(frozen=True, eq=False)
class EventLog:
    """A checked event log.

    Args:
        blocks: Reads the events, some at a time; may be called again.
        users: Ids of the users, U; each has an event.
        items: Ids of the items, I; each has an event.
        behaviors: The behaviors the log may hold, target last.
        n_events: How many events there are.
        has_times: Whether every event has a time.
        user_events: How many events each user has, U.
        dropped: Rows left out while reading, by reason.
        warnings: What a user should know about how the log was understood.
    """

    blocks: Blocks
    users: IdMap
    items: IdMap
    behaviors: Behaviors
    n_events: int
    has_times: bool
    user_events: Rows
    dropped: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, interactions: Interactions) -> "EventLog":
        """Return interactions that are in memory as a log of one block."""
        events, users, items = code_events(interactions)
        return cls(
            lambda: iter([events]),
            *(users, items, interactions.behaviors, len(events), interactions.has_times),
            np.bincount(events.users, minlength=len(users)),
            *(interactions.dropped, interactions.warnings),
        )

    def interactions(self) -> Interactions:
        """Return the whole log in memory, with external ids, in its order."""
        events = concatenated(list(self.blocks()))
        names = pl.Series(BEHAVIOR, self.behaviors.names, dtype=behavior_type(self.behaviors))
        columns = [
            self.users.external(events.users).rename(USER),
            self.items.external(events.items).rename(ITEM),
            names.gather(events.behaviors),
        ]
        if events.times is not None:
            columns.append(pl.Series(TIME, events.times))
        return Interactions(
            pl.DataFrame(columns), self.behaviors, dict(self.dropped), self.warnings
        )


def concatenated(blocks: Sequence[CodedEvents]) -> CodedEvents:
    """Return blocks as one, in their order."""
    if len(blocks) == 1:
        return blocks[0]
    times = [block.times for block in blocks if block.times is not None]
    return CodedEvents(
        np.concatenate([block.users for block in blocks]),
        np.concatenate([block.items for block in blocks]),
        np.concatenate([block.behaviors for block in blocks]),
        np.concatenate(times) if times else None,
    )


def log_of_tables(tables: Sequence[CodedTable], behaviors: Behaviors, log: ReadLog) -> EventLog:
    """Give the users and items of all sources their rows: those of the sorted ids.

    Args:
        tables: The sources, all with or all without times; one row that counts at least.
        behaviors: The behaviors.
        log: What was noticed.
    """
    tables = [table for table in tables if table.n_good]
    users, user_rows = _number([table.users for table in tables], USER, "user", log)
    items, item_rows = _number([table.items for table in tables], ITEM, "item", log)

    def blocks() -> Iterator[CodedEvents]:
        for table in tables:
            of_user, of_item = user_rows[table.users], item_rows[table.items]
            for block in table.blocks():
                rows = of_user[block.users], of_item[block.items]
                yield CodedEvents(*rows, block.behaviors, block.times)

    user_events = np.zeros(len(users), dtype=np.int64)
    for codes, rows in user_rows.items():
        np.add.at(user_events, rows[rows >= 0], codes.n_rows[rows >= 0])
    return EventLog(
        *(blocks, users, items, behaviors, sum(table.n_good for table in tables)),
        *(tables[0].timed, user_events, dict(log.dropped), tuple(log.warnings)),
    )


def _number(
    coded: Sequence[IdCodes], name: str, entity: str, log: ReadLog
) -> tuple[IdMap, dict[IdCodes, Rows]]:
    """Return all ids that have a row, sorted, and the row of each code, or -1."""
    distinct = list(dict.fromkeys(coded))
    used = [codes.used() for codes in distinct]
    columns = [column.rename(name) for column in unify_ids([i for _, i in used], name, log)]
    ids = IdMap(pl.concat(columns).unique().sort(), entity)
    rows = {}
    for codes, (present, _), column in zip(distinct, used, columns, strict=True):
        rows[codes] = np.full(len(codes.n_rows), -1, dtype=np.int64)
        rows[codes][present] = ids.find(column)
    return ids, rows


def by_user(log: EventLog, scratch: Scratch) -> Blocks:
    """Return the log's events in blocks of consecutive users, with all the events of each of them.

    A small log is one block; a large one is written to the scratch file.

    Args:
        log: The log.
        scratch: Where the blocks wait.
    """
    count = min(-(-log.n_events // limits.BLOCK_ROWS), limits.MOST_BLOCKS)
    if count == 1:
        events = concatenated(list(log.blocks()))
        return lambda: iter([events])
    before = np.cumsum(log.user_events) - log.user_events
    block_of = (before * count // log.n_events).astype(np.uint16)
    stores = [RowStore(scratch) for _ in range(count)]
    for events in log.blocks():
        _distribute(events, block_of[events.users], stores)

    def blocks() -> Iterator[CodedEvents]:
        for store in stores:
            if store.n_rows:
                users, items, behaviors, *times = store.whole()
                yield CodedEvents(users, items, behaviors, times[0] if times else None)

    return blocks


def _distribute(
    events: CodedEvents, blocks: NDArray[np.uint16], stores: Sequence[RowStore]
) -> None:
    order = np.argsort(blocks, kind="stable")
    ends: list[int] = np.cumsum(np.bincount(blocks, minlength=len(stores))).tolist()
    columns: list[NDArray[Any]] = [
        events.users.astype(np.int32),
        events.items.astype(np.int32),
        events.behaviors,
    ]
    columns += [] if events.times is None else [events.times]
    ordered = [column[order] for column in columns]
    for start, end, store in zip([0, *ends[:-1]], ends, stores, strict=True):
        if end > start:
            store.append(*(column[start:end] for column in ordered))
