"""Event logs from files, frames and databases -> `Interactions`."""

from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import polars as pl

from cigf.data.aliases import COLUMN_OPTIONS, find_column, translate_behavior
from cigf.data.behaviors import Behaviors
from cigf.data.files import find_files, read_file
from cigf.data.id_columns import clean_ids, unify_ids
from cigf.data.options import ReadOptions
from cigf.data.read_log import ReadLog, first_rows
from cigf.data.schema import BEHAVIOR, ITEM, TIME, USER, Interactions, behavior_type
from cigf.data.table import Table
from cigf.data.times import to_milliseconds
from cigf.errors import DataError, did_you_mean

Source = Any
"""A path, glob, database URI, or a Polars, pandas or Arrow frame."""


def read_events(sources: Source | Sequence[Source], options: ReadOptions) -> Interactions:
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
    behaviors = options.ordered_behaviors()
    log = ReadLog(options.on_error)
    tables = [t for source in _as_list(sources) for t in _read_source(source, options, log)]
    if not tables:
        raise DataError("no source given; name at least one file, folder, glob or frame")
    parts = [_standardize(table, options, behaviors, log) for table in tables]
    events = _join(parts, [table.source for table in tables], log)
    if not events.height:
        raise DataError(f"{tables[0].source}: holds no events" + _of_dropped(log))
    return Interactions(events, behaviors, dict(log.dropped), tuple(log.warnings))


def _as_list(sources: Source | Sequence[Source]) -> list[Source]:
    return list(sources) if isinstance(sources, list | tuple) else [sources]


def _read_source(source: Source, options: ReadOptions, log: ReadLog) -> list[Table]:
    if isinstance(source, str | Path):
        return [read_file(path, options, log) for path in find_files(source)]
    return [Table(pl.DataFrame(source), "data frame", "row", 0)]


def _of_dropped(log: ReadLog) -> str:
    reasons = ", ".join(f"{reason}: {count:,}" for reason, count in log.dropped.items())
    return f" that can be used (left out: {reasons})" if reasons else ""


def _standardize(
    table: Table, options: ReadOptions, behaviors: Behaviors, log: ReadLog
) -> pl.DataFrame:
    """Return the standard columns of one source, cleaned, without its bad rows."""
    columns = _choose_columns(table, options)
    frame = table.frame
    parts = [
        clean_ids(frame[columns[name]], columns[name], table.source, log).rename(name)
        for name in (USER, ITEM)
    ]
    parts.append(_behavior_column(table, columns.get(BEHAVIOR), options, behaviors, log))
    if TIME in columns:
        parts.append(to_milliseconds(frame[columns[TIME]]).rename(TIME))
    return _without_bad_rows(pl.DataFrame(parts), table, log)


def _choose_columns(table: Table, options: ReadOptions) -> dict[str, str]:
    """Return standard name -> column of the source, for those that are there.

    Raises:
        DataError: A needed column is missing; names the option that maps it.
    """
    asked = {USER: options.user_col, ITEM: options.item_col}
    asked |= {BEHAVIOR: options.behavior_col, TIME: options.time_col}
    chosen: dict[str, str] = {}
    for standard, name in asked.items():
        if name is None:
            name = find_column(table.frame.columns, standard)
        elif name and name not in table.frame.columns:
            raise _missing(table, name, standard)
        if name:
            chosen[standard] = name
    needed = [USER, ITEM] if options.default_behavior else [USER, ITEM, BEHAVIOR]
    for standard in needed:
        if standard not in chosen:
            raise _missing(table, standard, standard)
    return chosen


def _missing(table: Table, name: str, standard: str) -> DataError:
    names = table.frame.columns
    return DataError(
        f"{table.source}: column {name!r} not found{did_you_mean(name, names)} "
        f"(columns are {', '.join(names)}); name the right one with {COLUMN_OPTIONS[standard]}"
    )


def _behavior_column(
    table: Table,
    column: str | None,
    options: ReadOptions,
    behaviors: Behaviors,
    log: ReadLog,
) -> pl.Series:
    """Return the behaviors as an Enum; null where a row is to be left out without a word."""
    dtype = behavior_type(behaviors)
    if column is None:
        value = options.default_behavior
        return pl.Series(BEHAVIOR, [value], dtype=dtype).new_from_index(0, table.frame.height)
    values = table.frame[column].cast(pl.String).str.strip_chars()
    known = values.unique().drop_nulls().to_list()
    meanings = {v: translate_behavior(v, behaviors.names, options.mapping) for v in known}
    return values.replace_strict(
        {v: m for v, m in meanings.items() if m}, default=None, return_dtype=dtype
    ).rename(BEHAVIOR)


def _without_bad_rows(frame: pl.DataFrame, table: Table, log: ReadLog) -> pl.DataFrame:
    bad = {name: frame[name].is_null() for name in frame.columns if frame[name].null_count()}
    for name, rows in bad.items():
        where = first_rows(rows, table.unit, table.first)
        log.bad_rows(f"{name} missing", table.source, int(rows.sum()), where)
    if not bad:
        return frame
    return frame.filter(~reduce(lambda a, b: a | b, bad.values()))


def _join(parts: list[pl.DataFrame], names: list[str], log: ReadLog) -> pl.DataFrame:
    """Concatenate the sources, with one type of ids."""
    timed: Mapping[str, bool] = {n: TIME in p.columns for n, p in zip(names, parts, strict=True)}
    if len(set(timed.values())) > 1:
        with_times = next(n for n, t in timed.items() if t)
        without = next(n for n, t in timed.items() if not t)
        raise DataError(
            f"{without} has no times, {with_times} has; give all sources times, or pass "
            "--time-col '' to do without"
        )
    for name in (USER, ITEM):
        columns = unify_ids([part[name] for part in parts], name, log)
        parts = [part.with_columns(c) for part, c in zip(parts, columns, strict=True)]
    return pl.concat(parts) if len(parts) > 1 else parts[0]
