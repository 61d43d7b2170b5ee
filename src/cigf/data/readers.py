"""Event logs from files, frames and databases -> `Interactions`."""

from collections.abc import Mapping
from functools import partial, reduce
from pathlib import Path
from typing import Any

import polars as pl

from cigf.data.behaviors import Behaviors
from cigf.data.columns import behavior_column, check_mapping, choose_columns, wanted_columns
from cigf.data.files import find_files, read_file
from cigf.data.frames import read_frame
from cigf.data.id_columns import clean_ids, unify_ids
from cigf.data.options import ReadOptions
from cigf.data.read_log import ReadLog, first_rows
from cigf.data.schema import BEHAVIOR, ITEM, TIME, USER, Interactions
from cigf.data.sql import is_database_uri, read_database
from cigf.data.table import Table
from cigf.data.times import LATEST, to_milliseconds
from cigf.errors import DataError

Source = Any
"""A path, glob, database URI, or a Polars, pandas or Arrow frame."""


def read_events(sources: Source | list[Source], options: ReadOptions) -> Interactions:
    """Read one or several sources into one checked event table.

    Args:
        sources: A source or a list of them; a source is a path, a folder, a glob (CSV, TSV,
            JSON Lines, each plain, .gz or .zst; Parquet; SQLite), a database URI, or a Polars,
            pandas or Arrow frame.
        options: How the columns, behaviors and times are to be understood.

    Raises:
        DataError: A source cannot be understood, or holds rows that cannot be used and
            `options.on_error` is "fail".
    """
    return _read(sources, options, fall_back=False)


def read_test_pairs(sources: Source | list[Source], options: ReadOptions) -> Interactions:
    """Read held-out pairs: as `read_events`, but the behavior may be left out.

    Times are not read; pairs without a behavior are of the target.
    """
    target = options.ordered_behaviors().target_name
    changes = {"default_behavior": options.default_behavior or target, "time_col": ""}
    return _read(sources, options.model_copy(update=changes), fall_back=True)


def _read(sources: Source | list[Source], options: ReadOptions, *, fall_back: bool) -> Interactions:
    behaviors = options.ordered_behaviors()
    check_mapping(options, behaviors)
    log = ReadLog(options.on_error)
    tables = _read_tables(sources, options, log)
    parts = []
    for table in tables:
        columns = choose_columns(table, options, fall_back=fall_back)
        parts.append(_standardize(table, columns, options, behaviors, log))
    events = _join(parts, [table.source for table in tables], log)
    if not events.height:
        raise DataError(f"{tables[0].source}: holds no events{_left_out(log)}")
    return Interactions(events, behaviors, dict(log.dropped), tuple(log.warnings))


def _read_tables(sources: Source | list[Source], options: ReadOptions, log: ReadLog) -> list[Table]:
    tables: list[Table] = []
    paths: dict[Path, None] = {}
    wanted = partial(wanted_columns, options=options)
    for source in sources if isinstance(sources, list | tuple) else [sources]:
        if is_database_uri(source):
            tables.append(read_database(source, options.query))
        elif isinstance(source, str | Path):
            paths |= dict.fromkeys(find_files(source))  # a file that two globs name is read once
        else:
            tables.append(read_frame(source, wanted))
    tables += [read_file(path, options, log, wanted) for path in paths]
    if not tables:
        raise DataError("no source given; name at least one file, folder, glob or frame")
    return tables


def _left_out(log: ReadLog) -> str:
    reasons = ", ".join(f"{reason}: {count:,}" for reason, count in log.dropped.items())
    return f" that can be used (left out: {reasons})" if reasons else ""


def _standardize(
    table: Table,
    columns: Mapping[str, str],
    options: ReadOptions,
    behaviors: Behaviors,
    log: ReadLog,
) -> pl.DataFrame:
    """Return the standard columns of one source, cleaned, without its bad rows."""
    frame = table.frame
    user, item = (
        clean_ids(frame[columns[name]], columns[name], table.source, log).rename(name)
        for name in (USER, ITEM)
    )
    behavior, kept = behavior_column(table, columns.get(BEHAVIOR), options, behaviors, log)
    parts = [user, item, behavior]
    if TIME in columns:
        parts.append(to_milliseconds(frame[columns[TIME]]).rename(TIME))
    # Empty lines are no rows; a value that is to be left out is no bad value.
    counted = kept if table.unit == "row" else kept & ~_is_empty(frame)
    return _without_bad_rows(pl.DataFrame(parts), counted, table, log)


def _is_empty(frame: pl.DataFrame) -> pl.Series:
    if not frame[:, -1].null_count():
        return pl.Series([False]).new_from_index(0, frame.height)
    return frame.select(pl.all_horizontal(pl.all().is_null())).to_series()


def _without_bad_rows(
    frame: pl.DataFrame, counted: pl.Series, table: Table, log: ReadLog
) -> pl.DataFrame:
    needed = [name for name in (USER, ITEM, BEHAVIOR) if frame[name].null_count()]
    bad = {f"{name} missing": frame[name].is_null() for name in needed}
    if TIME in frame.columns:
        bad |= _bad_times(frame[TIME])
    for reason, rows in bad.items():
        rows = rows.fill_null(False) & counted
        if rows.any():
            where = first_rows(rows, table.unit, table.first)
            log.bad_rows(reason, table.source, int(rows.sum()), where, _cure(reason))
    good = reduce(lambda kept, rows: kept & ~rows.fill_null(False), bad.values(), counted)
    return frame if good.all() else frame.filter(good)


def _bad_times(times: pl.Series) -> dict[str, pl.Series]:
    reasons = {
        "timestamp missing or not a time": times.is_null(),
        "negative timestamp": times < 0,
        "timestamp after the year 9999": times > LATEST,
    }
    return {reason: rows for reason, rows in reasons.items() if rows.any()}


def _cure(reason: str) -> str:
    return "correct the times, pass --time-col '' to do without" if "timestamp" in reason else ""


def _join(parts: list[pl.DataFrame], names: list[str], log: ReadLog) -> pl.DataFrame:
    """Concatenate the sources, with one type of ids."""
    timed = [TIME in part.columns for part in parts]
    if len(set(timed)) > 1:
        with_times, without = names[timed.index(True)], names[timed.index(False)]
        raise DataError(
            f"{without} has no times, {with_times} has; give all sources times, or pass "
            "--time-col '' to do without"
        )
    for name in (USER, ITEM):
        columns = unify_ids([part[name] for part in parts], name, log)
        parts = [part.with_columns(c) for part, c in zip(parts, columns, strict=True)]
    return pl.concat(parts) if len(parts) > 1 else parts[0]
