"""Id files in, tables on the screen."""

import csv
from pathlib import Path

import polars as pl

from cigf.cli.output import print_table
from cigf.data.delimited import SEPARATORS
from cigf.data.id_columns import check_ids
from cigf.errors import DataError


def print_frame(frame: pl.DataFrame) -> None:
    """Print a table on stdout; ids are shown as they are, even if they are numbers."""
    ids = [name for name in frame.columns if name.endswith("_id")]
    print_table(frame.columns, frame.with_columns(pl.col(ids).cast(pl.String)).rows())


def read_ids(path: Path, column: str, *, may_be_empty: bool = False) -> pl.Series:
    """Read ids: the column of a .parquet, .csv or .tsv table, or one id per line of a text file.

    Blanks around an id do not count, as in a log.

    Args:
        path: The file.
        column: Name of the column, where the file is a table.
        may_be_empty: Whether a file without ids is one with none, rather than a mistake.

    Raises:
        DataError: The file is missing, empty or cannot be read, or has no such column.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        ids = _read_column(path, column)
    except (pl.exceptions.PolarsError, UnicodeDecodeError, csv.Error, OSError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    if not len(ids) and not may_be_empty:
        raise DataError(f"{path}: holds no ids")
    return ids.str.strip_chars() if ids.dtype == pl.String else ids


def _read_column(path: Path, column: str) -> pl.Series:
    if path.suffix == ".parquet":
        return _column(pl.read_parquet(path, glob=False), column, path)
    # Not by `splitlines`: an id may hold what Unicode has besides for the end of a line.
    lines = path.read_text(encoding="utf-8-sig").split("\n")
    lines = [line for line in lines if line.strip()]
    for separator in SEPARATORS:
        names = next(csv.reader(lines[:1], delimiter=separator), [])
        if column in map(str.strip, names):
            frame = pl.read_csv(path, separator=separator, infer_schema=False, glob=False)
            return _column(frame.rename(str.strip), column, path)
    return pl.Series(column, lines, dtype=pl.String)


def _column(frame: pl.DataFrame, column: str, path: Path) -> pl.Series:
    if column not in frame.columns:
        raise DataError(
            f"{path}: column {column!r} not found (columns: {', '.join(frame.columns)})"
        )
    return check_ids(frame[column], column, str(path))
