"""JSON Lines files: one JSON object per line."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cigf.data.lines import REPLACEMENT, broken_file, read_lines
from cigf.data.read_log import ReadLog, first_rows
from cigf.data.sniffing import check_text
from cigf.data.table import Table, Wanted, pieces_of
from cigf.errors import DataError


def read_json_lines(path: Path, log: ReadLog, wanted: Wanted) -> Table:
    """Read a file of JSON objects, one per line.

    Args:
        path: The file, plain, .gz or .zst.
        log: Where bad rows are reported.
        wanted: Chooses the keys that are read where the objects do not fit into one table.

    Raises:
        DataError: The file is empty, broken or of another format, or has bad lines and they are
            not to be skipped.
    """
    check_text(path)
    _check_first_line(path)
    try:
        frame = pl.read_ndjson(path.read_bytes(), infer_schema_length=None)
    except OSError as error:
        raise broken_file(path, error) from None
    except pl.exceptions.PolarsError:
        return _repaired(path, log, wanted)
    columns = tuple(frame.columns)
    return Table(pieces_of(frame), columns, str(path), "line", 1, partial(_full_lines, path))


def _full_lines(path: Path) -> NDArray[np.int64]:
    return np.flatnonzero(read_lines(path).str.strip_chars() != "") + 1


def _check_first_line(path: Path) -> None:
    head = read_lines(path, 1)
    line = str(head[0]).lstrip("\ufeff \t") if len(head) else ""
    if line.startswith("["):
        raise DataError(
            f"{path}: one JSON array, not JSON Lines; write one object per line, without commas "
            "between them"
        )
    if line and not line.startswith("{"):
        raise DataError(f"{path}: not JSON Lines, as its name says; it begins with {line[:20]!r}")


def _repaired(path: Path, log: ReadLog, wanted: Wanted) -> Table:
    """Find the lines that cannot be parsed, report them, and keep what is wanted of the others."""
    lines = read_lines(path)
    objects = [_parsed(line) for line in lines]
    broken = lines.str.contains(REPLACEMENT, literal=True)
    good = pl.Series([each is not None for each in objects], dtype=pl.Boolean) & ~broken
    bad = {
        "not UTF-8": broken,
        "not a JSON object": ~broken & ~good & (lines.str.strip_chars() != ""),
    }
    for reason, rows in bad.items():
        log.bad_rows(reason, str(path), int(rows.sum()), first_rows(rows, "line", 1))
    kept = [each for each, fits in zip(objects, good, strict=True) if each is not None and fits]
    if not kept:
        raise DataError(f"{path}: holds no JSON object that can be read")
    columns = tuple(dict.fromkeys(name for each in kept for name in each))
    frame = _one_table(path, kept, wanted(columns))
    numbers = np.flatnonzero(good) + 1
    return Table(pieces_of(frame), columns, str(path), "line", 1, lambda: numbers)


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line.lstrip("\ufeff"), parse_constant=_nothing)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _nothing(_: str) -> None:
    """Read NaN and Infinity, which JSON lacks and Python writes, as missing."""


def _one_table(path: Path, objects: list[dict[str, Any]], names: list[str]) -> pl.DataFrame:
    text = "\n".join(json.dumps({name: each.get(name) for name in names}) for each in objects)
    try:
        return pl.read_ndjson(text.encode(), infer_schema_length=None)
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: its lines do not fit into one table ({reason})") from None
