"""CSV and TSV files: all columns as text, and exact words about what is broken."""

from pathlib import Path

import polars as pl

from cigf.data.read_log import ReadLog
from cigf.data.table import Table
from cigf.errors import DataError


def read_delimited(path: Path, column_names: tuple[str, ...] | None, log: ReadLog) -> Table:
    """Read a file with one row per line; all columns come as text."""
    header = column_names is None
    try:
        frame = pl.scan_csv(
            path,
            separator=_separator(path),
            has_header=header,
            new_columns=None if column_names is None else list(column_names),
            infer_schema=False,
        ).collect()
    except pl.exceptions.NoDataError:
        raise DataError(f"{path}: the file is empty") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    return Table(frame, str(path), "line", 2 if header else 1)


def _separator(path: Path) -> str:
    return "\t" if ".tsv" in [suffix.lower() for suffix in path.suffixes] else ","
