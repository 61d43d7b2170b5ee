"""JSON Lines files: one JSON object per line."""

import json
from pathlib import Path

import polars as pl

from cigf.data.lines import REPLACEMENT, broken_file, read_lines
from cigf.data.read_log import ReadLog, first_rows
from cigf.data.sniffing import check_text
from cigf.data.table import Table, pieces_of
from cigf.errors import DataError


def read_json_lines(path: Path, log: ReadLog) -> Table:
    """Read a file of JSON objects, one per line.

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
    except pl.exceptions.PolarsError as error:
        frame = _repaired(path, log, error)
    return Table(pieces_of(frame), tuple(frame.columns), str(path), "line", 1)


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


def _repaired(path: Path, log: ReadLog, error: Exception) -> pl.DataFrame:
    """Find the lines that cannot be parsed, report them, and parse the others."""
    lines = read_lines(path)
    broken = lines.str.contains(REPLACEMENT, literal=True)
    objects = pl.Series([_is_object(line) for line in lines], dtype=pl.Boolean)
    bad = {"not UTF-8": broken, "not a JSON object": ~broken & ~objects & (lines != "")}
    for reason, rows in bad.items():
        log.bad_rows(reason, str(path), int(rows.sum()), first_rows(rows, "line", 1))
    good = lines.filter(objects & ~broken)
    if good.is_empty():
        raise DataError(f"{path}: holds no JSON object that can be read")
    try:
        return pl.read_ndjson("\n".join(good).encode(), infer_schema_length=None)
    except pl.exceptions.PolarsError:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: its lines do not fit into one table ({reason})") from None


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
