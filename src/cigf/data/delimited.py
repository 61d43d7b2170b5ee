"""CSV and TSV files: all columns as text, and exact words about what is broken."""

import re
from pathlib import Path

import polars as pl

from cigf.data.lines import REPLACEMENT, broken_file, read_lines
from cigf.data.read_log import ReadLog, first_rows
from cigf.data.sniffing import check_text
from cigf.data.table import Table
from cigf.errors import DataError

SEPARATORS = (",", "\t", ";", "|")


def read_delimited(path: Path, column_names: tuple[str, ...] | None, log: ReadLog) -> Table:
    """Read a file with one row per line; all columns come as text.

    Lines with too few or too many fields, unclosed quotation marks or bytes that are not UTF-8
    are bad rows. Empty lines do not count.

    Args:
        path: The file, plain, .gz or .zst.
        column_names: Names of the columns where there is no header line.
        log: Where bad rows are reported.

    Raises:
        DataError: The file is empty, broken or of another format, or has bad rows and they are not
            to be skipped.
    """
    check_text(path)
    head = _first_line(path)
    separator = _separator(path, head)
    _check_names(path, head, separator, column_names)
    first = 2 if column_names is None else 1
    try:
        frame = _parse(path, separator, column_names)
    except OSError as error:
        raise broken_file(path, error) from None
    except pl.exceptions.NoDataError:
        raise DataError(f"{path}: the file is empty") from None
    except pl.exceptions.PolarsError as error:
        return Table(_repaired(path, separator, column_names, log, error), str(path), "line", first)
    if frame.height and frame[:, -1].null_count():
        # Polars fills up short rows with nulls; the lines tell which rows were short.
        short = frame.with_row_index().filter(frame[:, -1].is_null())
        if not short.select(pl.all_horizontal(pl.exclude("index").is_null()).all()).item():
            frame = _without_short_lines(frame, path, separator, log, first)
    return Table(frame, str(path), "line", first)


def _first_line(path: Path) -> str:
    head = read_lines(path, 1)
    line = str(head[0]).lstrip("\ufeff") if len(head) else ""
    if line.startswith(("{", "[")):
        raise DataError(f"{path}: not CSV, as its name says; it looks like JSON (name it .jsonl)")
    if line.startswith("<"):
        raise DataError(f"{path}: not CSV, as its name says; it looks like HTML or XML")
    return line


def _separator(path: Path, head: str) -> str:
    if ".tsv" in (suffix.lower() for suffix in path.suffixes):
        return "\t"
    return max(SEPARATORS, key=lambda mark: (_n_fields(head, mark), -SEPARATORS.index(mark)))


def _n_fields(line: str, separator: str) -> int:
    return re.sub(r'"[^"]*"', "", line).count(separator) + 1


def _check_names(
    path: Path, head: str, separator: str, column_names: tuple[str, ...] | None
) -> None:
    count = _n_fields(head, separator)
    if column_names is not None and len(column_names) != count:
        raise DataError(
            f"{path}: its first line has {count} fields, {len(column_names)} column names were "
            f"given ({', '.join(column_names)}); give one name per field"
        )


def _parse(
    source: Path | bytes, separator: str, column_names: tuple[str, ...] | None
) -> pl.DataFrame:
    frame = pl.scan_csv(
        source,
        separator=separator,
        has_header=column_names is None,
        new_columns=None if column_names is None else list(column_names),
        infer_schema=False,
    ).collect()
    stripped = [name.strip() for name in frame.columns]
    return (
        frame
        if len(set(stripped)) < len(stripped)
        else frame.rename(dict(zip(frame.columns, stripped, strict=True)))
    )


def _repaired(
    path: Path,
    separator: str,
    column_names: tuple[str, ...] | None,
    log: ReadLog,
    error: Exception,
) -> pl.DataFrame:
    """Find the lines that cannot be parsed, report them, and parse the others."""
    lines = read_lines(path)
    first = 1 if column_names is not None else 2
    head, body = lines.head(first - 1), lines.slice(first - 1)
    expected = _n_fields(str(lines[0]), separator)
    bad = _bad_lines(body, separator, expected)
    for reason, rows in bad.items():
        log.bad_rows(reason, str(path), int(rows.sum()), first_rows(rows, "line", first))
    good = body.filter(~pl.DataFrame(bad).select(pl.any_horizontal(pl.all())).to_series())
    try:
        text = "\n".join([*head, *good, ""])
        return _parse(text.encode(), separator, column_names)
    except pl.exceptions.PolarsError:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: cannot be read as CSV ({reason})") from None


def _bad_lines(lines: pl.Series, separator: str, expected: int) -> dict[str, pl.Series]:
    """Return reason -> which lines are bad for it; a line is bad for one reason only."""
    broken = lines.str.contains(REPLACEMENT, literal=True)
    unclosed = ~broken & (lines.str.count_matches('"', literal=True) % 2 == 1)
    bare = lines.str.replace_all(r'"[^"]*"', "")
    n_fields = bare.str.count_matches(separator, literal=True).cast(pl.Int64) + 1
    countable = ~broken & ~unclosed & (lines != "")
    return {
        "not UTF-8": broken,
        "unclosed quotation mark": unclosed,
        f"too few fields (fewer than {expected})": countable & (n_fields < expected),
        f"too many fields (more than {expected})": countable & (n_fields > expected),
    }


def _without_short_lines(
    frame: pl.DataFrame, path: Path, separator: str, log: ReadLog, first: int
) -> pl.DataFrame:
    lines = read_lines(path).slice(first - 1)
    bad = _bad_lines(lines, separator, frame.width)
    if len(lines) != frame.height or bad["unclosed quotation mark"].any():
        return frame  # rows go over several lines, so line numbers say nothing
    for reason, rows in bad.items():
        log.bad_rows(reason, str(path), int(rows.sum()), first_rows(rows, "line", first))
    return frame.filter(~pl.DataFrame(bad).select(pl.any_horizontal(pl.all())).to_series())
