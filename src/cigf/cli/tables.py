"""Id files in, tables on the screen."""

from pathlib import Path

import polars as pl

from cigf.cli.output import print_table
from cigf.errors import DataError


def print_frame(frame: pl.DataFrame) -> None:
    """Print a table on stdout; ids are shown as they are, even if they are numbers."""
    ids = [name for name in frame.columns if name.endswith("_id")]
    print_table(frame.columns, frame.with_columns(pl.col(ids).cast(pl.String)).rows())


def read_ids(path: Path, column: str) -> pl.Series:
    """Read ids: the column of a .parquet, .csv or .tsv table, or one id per line of a text file.

    Raises:
        DataError: The file is missing, empty or cannot be read, or has no such column.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        ids = _read_column(path, column)
    except (pl.exceptions.PolarsError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    if not len(ids):
        raise DataError(f"{path}: holds no ids")
    return ids


def _read_column(path: Path, column: str) -> pl.Series:
    if path.suffix == ".parquet":
        return _column(pl.read_parquet(path, glob=False), column, path)
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    header = lines[0].split("\t" if path.suffix == ".tsv" else ",") if lines else []
    if column in header:
        separator = "\t" if path.suffix == ".tsv" else ","
        frame = pl.read_csv(path, separator=separator, infer_schema=False, glob=False)
        return _column(frame, column, path)
    return pl.Series(column, [line for line in lines if line], dtype=pl.String)


def _column(frame: pl.DataFrame, column: str, path: Path) -> pl.Series:
    if column not in frame.columns:
        raise DataError(
            f"{path}: column {column!r} not found (columns: {', '.join(frame.columns)})"
        )
    return frame[column]
