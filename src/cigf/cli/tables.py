"""Id files in, tables out."""

import gzip
from collections.abc import Callable
from pathlib import Path

import polars as pl

from cigf.cli.output import print_table
from cigf.errors import ConfigError, DataError, did_you_mean
from cigf.storage import new_file, refuse_existing


def _write_gzip(frame: pl.DataFrame, path: Path) -> None:
    # Without name and time of day in its header, so that equal tables give equal bytes.
    with path.open("wb") as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
        packed.write(frame.write_csv().encode())


_WRITERS: dict[str, Callable[[pl.DataFrame, Path], None]] = {
    ".parquet": lambda frame, path: frame.write_parquet(path),
    ".csv.gz": _write_gzip,
    ".csv": lambda frame, path: frame.write_csv(path),
    ".jsonl": lambda frame, path: frame.write_ndjson(path),
}


def check_output(path: Path, force: bool) -> None:
    """Refuse an output that exists or has an unknown ending, before any work is done.

    Raises:
        ConfigError: The ending is unknown.
        OutputError: The file exists and `force` is off.
    """
    _ending(path)
    refuse_existing(path, force)


def _ending(path: Path) -> str:
    for ending in _WRITERS:
        if path.name.endswith(ending):
            return ending
    raise ConfigError(
        f"--out {path}: unknown ending{did_you_mean(path.suffix, _WRITERS)} "
        f"(known: {', '.join(_WRITERS)})"
    )


def write_table(frame: pl.DataFrame, path: Path, force: bool) -> None:
    """Write a table in the format that the ending names."""
    check_output(path, force)
    with new_file(path, force=force) as temporary:
        _WRITERS[_ending(path)](frame, temporary)


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
        return _column(pl.read_parquet(path), column, path)
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    header = lines[0].split("\t" if path.suffix == ".tsv" else ",") if lines else []
    if column in header:
        separator = "\t" if path.suffix == ".tsv" else ","
        frame = pl.read_csv(path, separator=separator, infer_schema=False)
        return _column(frame, column, path)
    return pl.Series(column, [line for line in lines if line], dtype=pl.String)


def _column(frame: pl.DataFrame, column: str, path: Path) -> pl.Series:
    if column not in frame.columns:
        raise DataError(
            f"{path}: column {column!r} not found (columns: {', '.join(frame.columns)})"
        )
    return frame[column]
