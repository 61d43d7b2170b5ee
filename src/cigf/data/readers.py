"""Event logs from files, frames and databases, checked: as numbers, or as `Interactions`."""

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from cigf.data.coded_table import CodedTable, code_table
from cigf.data.columns import check_mapping, choose_columns, wanted_columns
from cigf.data.event_log import EventLog, log_of_tables
from cigf.data.files import find_files, read_file
from cigf.data.frames import read_frame
from cigf.data.id_codes import KnownIds
from cigf.data.options import ReadOptions
from cigf.data.read_log import ReadLog
from cigf.data.schema import Interactions
from cigf.data.scratch import Scratch
from cigf.data.sql import is_database_uri, read_database
from cigf.data.table import Table
from cigf.errors import DataError

Source = Any
"""A path, glob, database URI, or a Polars, pandas or Arrow frame."""


def read_log(sources: Source | list[Source], options: ReadOptions, scratch: Scratch) -> EventLog:
    """Read one or several sources into one checked log, which may be larger than memory.

    Args:
        sources: A source or a list of them; a source is a path, a folder, a glob (CSV, TSV,
            JSON Lines, each plain, .gz or .zst; Parquet; SQLite), a database URI, or a Polars,
            pandas or Arrow frame.
        options: How the columns, behaviors and times are to be understood.
        scratch: Where events wait if they are many; the log can be read as long as it is open.

    Raises:
        DataError: A source cannot be understood, or holds rows that cannot be used and
            `options.on_error` is "fail".
    """
    return _read(sources, options, scratch, fall_back=False)


def read_events(sources: Source | list[Source], options: ReadOptions) -> Interactions:
    """Read one or several sources into one event table in memory; see `read_log`."""
    with closing(Scratch()) as scratch:
        return read_log(sources, options, scratch).interactions()


def read_test_pairs(sources: Source | list[Source], options: ReadOptions) -> Interactions:
    """Read held-out pairs: as `read_events`, but the behavior may be left out.

    Times are not read; pairs without a behavior are of the target. Names that are given for the
    columns of logs without a header are not those of a file whose first line names its own.
    """
    target = options.ordered_behaviors().target_name
    changed = options.model_copy(update={"default_behavior": target, "time_col": ""})
    with closing(Scratch()) as scratch:
        return _read(sources, changed, scratch, fall_back=True).interactions()


def _read(
    sources: Source | list[Source], options: ReadOptions, scratch: Scratch, *, fall_back: bool
) -> EventLog:
    behaviors = options.ordered_behaviors()
    check_mapping(options, behaviors)
    log = ReadLog(options.on_error)
    tables, known = [], KnownIds()
    for table in _open(sources, options, log, fall_back=fall_back):
        columns = choose_columns(table, options, fall_back=fall_back)
        tables.append(code_table(table, columns, options, behaviors, log, scratch, known))
    _check_times(tables)
    if not any(table.n_good for table in tables):
        raise DataError(f"{tables[0].table.source}: holds no events{_left_out(log)}")
    return log_of_tables(tables, behaviors, log)


def _open(
    sources: Source | list[Source], options: ReadOptions, log: ReadLog, *, fall_back: bool
) -> Iterator[Table]:
    """Yield the sources: frames and databases, then files."""
    n_tables = 0
    paths: dict[Path, None] = {}
    wanted = partial(wanted_columns, options=options)
    for source in sources if isinstance(sources, list | tuple) else [sources]:
        if isinstance(source, str | Path) and not is_database_uri(source):
            paths |= dict.fromkeys(find_files(source))  # a file that two globs name is read once
            continue
        n_tables += 1
        if is_database_uri(source):
            yield read_database(source, options.query)
        else:
            yield read_frame(source, wanted)
    for path in paths:
        yield read_file(path, options, log, wanted, fall_back=fall_back)
    if not n_tables + len(paths):
        raise DataError("no source given; name at least one file, folder, glob or frame")


def _left_out(log: ReadLog) -> str:
    reasons = ", ".join(f"{reason}: {count:,}" for reason, count in log.dropped.items())
    return f" that can be used (left out: {reasons})" if reasons else ""


def _check_times(tables: list[CodedTable]) -> None:
    with_times, without = (
        [table.table.source for table in tables if table.timed == timed] for timed in (True, False)
    )
    if with_times and without:
        raise DataError(
            f"{without[0]} has no times, {with_times[0]} has; give all sources times, or pass "
            "--time-col '' to do without"
        )
