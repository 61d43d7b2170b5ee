"""Which column of a source is which, and what its behavior values mean."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cigf.data.aliases import COLUMN_OPTIONS, find_column, translate_behavior
from cigf.data.behaviors import Behaviors
from cigf.data.coding import Coder
from cigf.data.options import ReadOptions
from cigf.data.read_log import SHOWN, ReadLog
from cigf.data.schema import BEHAVIOR, ITEM, TIME, USER
from cigf.data.table import Table
from cigf.errors import DataError, did_you_mean

LEFT_OUT = -1
"""Meaning of a behavior value whose rows do not count."""
NO_BEHAVIOR = -2
"""Meaning of a missing behavior value."""


def wanted_columns(names: Sequence[str], options: ReadOptions) -> list[str]:
    """Return the columns of a source that may be of use, in its order."""
    asked = _named(options) | {find_column(names, standard) for standard in COLUMN_OPTIONS}
    return [name for name in names if name in asked]


def stand_ins(own: Sequence[str], others: Sequence[str], options: ReadOptions) -> list[str]:
    """Return which of some names besides a file's own columns are columns, too.

    Those that the options name, and those that stand for what no own column stands for: a folder's
    name is no reason to pass over what the file says.
    """
    lacking = [standard for standard in COLUMN_OPTIONS if find_column(own, standard) is None]
    found = _named(options) | {find_column(others, standard) for standard in lacking}
    return [name for name in others if name in found and name not in own]


def names_pairs(names: Sequence[str], options: ReadOptions) -> bool:
    """Tell whether a column of users and one of items are among some names."""
    asked = {USER: options.user_col, ITEM: options.item_col}
    return all(name in names or find_column(names, each) for each, name in asked.items())


def _named(options: ReadOptions) -> set[str | None]:
    return {options.user_col, options.item_col, options.behavior_col, options.time_col}


def choose_columns(
    table: Table, options: ReadOptions, *, fall_back: bool = False
) -> dict[str, str]:
    """Return standard name -> column of the source, for those that are there.

    Args:
        table: The source.
        options: May name columns; the others are found by their aliases.
        fall_back: Find a column by its aliases even if another name was given, which the source
            lacks: for test files, whose columns may go by other names than the log's.

    Raises:
        DataError: A needed column is missing; names the option that maps it.
    """
    asked = {USER: options.user_col, ITEM: options.item_col}
    asked |= {BEHAVIOR: options.behavior_col, TIME: options.time_col}
    chosen: dict[str, str] = {}
    for standard, name in asked.items():
        if name and name not in table.columns and not fall_back:
            raise _missing(table, name, standard)
        if name is None or (name and name not in table.columns):
            name = find_column(table.columns, standard)
        if name:
            chosen[standard] = name
    for standard in (USER, ITEM) if options.default_behavior else (USER, ITEM, BEHAVIOR):
        if standard not in chosen:
            raise _missing(table, standard, standard)
    _check_distinct(table, chosen)
    return chosen


def _missing(table: Table, name: str, standard: str) -> DataError:
    names = table.columns
    header = ""
    if table.unit == "line" and all(find_column(names, known) is None for known in COLUMN_OPTIONS):
        header = "; if the file has no header line, name its columns with --columns"
    return DataError(
        f"{table.source}: column {name!r} not found{did_you_mean(name, names)} "
        f"(columns are {', '.join(names)}); name the right one with {COLUMN_OPTIONS[standard]}"
        f"{header}"
    )


def _check_distinct(table: Table, chosen: Mapping[str, str]) -> None:
    for standard, name in chosen.items():
        twice = [other for other, column in chosen.items() if column == name and other != standard]
        if twice:
            raise DataError(
                f"{table.source}: column {name!r} cannot be both {standard} and {twice[0]}; name "
                f"another with {COLUMN_OPTIONS[twice[0]]}"
            )
        if f"{name}_duplicated_0" in table.columns:
            raise DataError(
                f"{table.source}: column {name!r} stands twice in the header; rename one"
            )


def behavior_meanings(
    coder: Coder, source: str, options: ReadOptions, behaviors: Behaviors, log: ReadLog
) -> NDArray[np.int16]:
    """Return what each code of a behavior column means.

    Args:
        coder: The column's values and how often they stand there.
        source: What to call the source in messages.
        options: May map values to behaviors.
        behaviors: The behaviors.
        log: Where left-out values are counted.

    Returns:
        Index of a behavior, `LEFT_OUT` or `NO_BEHAVIOR` per code.

    Raises:
        DataError: A value is unknown and bad rows are not to be skipped.
    """
    texts = as_text(coder.values, source)
    counts: dict[str, int] = {}
    for text, count in zip(texts.to_list(), coder.counts.tolist(), strict=True):
        if text is not None and count:
            counts[text] = counts.get(text, 0) + count
    meanings = {v: translate_behavior(v, behaviors.names, options.mapping) for v in counts}
    unknown = {v: counts[v] for v, meaning in meanings.items() if meaning is None}
    if unknown:
        _report_unknown(unknown, source, options, behaviors, log)
    log.dropped.update(_mapped_away(counts, meanings))
    index = {name: place for place, name in enumerate(behaviors)}
    meant = [
        NO_BEHAVIOR if text is None else index.get(meanings.get(text) or "", LEFT_OUT)
        for text in texts.to_list()
    ]
    return np.array(meant, dtype=np.int16)


def as_text(column: pl.Series, source: str) -> pl.Series:
    """Return behaviors as text without blanks around it, null where there is none.

    Raises:
        DataError: The column is of a type that cannot be a behavior.
    """
    if column.dtype.is_nested() or column.dtype in (pl.Object, pl.Binary):
        raise DataError(
            f"{source}: column {column.name} holds {column.dtype}; behaviors must be text or codes"
        )
    if column.dtype.is_float():
        column = column.fill_nan(None)
        whole = column.cast(pl.Int64, strict=False)
        if column.eq_missing(whole).all():
            column = whole  # codes such as 1.0, as pandas makes them of 1
    stripped = column.cast(pl.String).str.strip_chars()
    return stripped.replace("", None)


def _mapped_away(counts: Mapping[str, int], meanings: Mapping[str, str | None]) -> dict[str, int]:
    count = sum(counts[value] for value, meaning in meanings.items() if meaning == "")
    return {"behaviors mapped to nothing": count} if count else {}


def _report_unknown(
    unknown: Mapping[str, int],
    source: str,
    options: ReadOptions,
    behaviors: Behaviors,
    log: ReadLog,
) -> None:
    most = sorted(unknown, key=lambda value: (-unknown[value], value))
    total = sum(unknown.values())
    if log.on_error == "skip":
        log.dropped["unknown behavior"] += total
        return
    shown = ", ".join(
        f"{value!r} ({unknown[value]:,} row{'s' if unknown[value] > 1 else ''})"
        for value in most[:SHOWN]
    )
    more = f" and {len(most) - SHOWN:,} more" if len(most) > SHOWN else ""
    hint = did_you_mean(most[0], behaviors)
    meant = hint.removeprefix("; did you mean ").removesuffix("?") or behaviors.names[0]
    raise DataError(
        f"{source}: unknown behavior {shown}{more}{hint} (behaviors: "
        f"{', '.join(behaviors)}); map it with --map {most[0]}={meant}, leave it out with "
        f"--map {most[0]}=, or {options.other_behaviors}"
    )


def check_mapping(options: ReadOptions, behaviors: Behaviors) -> None:
    """Check that mapped values and the default behavior are behaviors.

    Raises:
        DataError: One is not.
    """
    meant: dict[str, Any] = {f"--map {value}=": name for value, name in options.mapping.items()}
    meant["default behavior "] = options.default_behavior
    for option, name in meant.items():
        if name and name not in behaviors.names:
            raise DataError(
                f"{option}{name}: {name!r} is not among the behaviors"
                f"{did_you_mean(name, behaviors)} (behaviors: {', '.join(behaviors)}); "
                f"choose one of them, or {options.other_behaviors}"
            )
