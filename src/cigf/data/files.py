"""Files of event logs: finding them, telling their formats, reading Parquet and JSON Lines."""

import glob
from pathlib import Path

import polars as pl

from cigf.data.delimited import read_delimited
from cigf.data.options import ReadOptions
from cigf.data.read_log import ReadLog
from cigf.data.table import Table
from cigf.errors import DataError

COMPRESSIONS = (".gz", ".zst")
DELIMITED = (".csv", ".tsv", ".txt")
JSON_LINES = (".jsonl", ".ndjson")
PARQUET = (".parquet", ".pq")
DATABASES = (".db", ".sqlite", ".sqlite3")
READABLE = (*DELIMITED, *JSON_LINES, *PARQUET, *DATABASES)


def find_files(source: str | Path) -> list[Path]:
    """Return the files that a path, a folder or a glob stands for, sorted.

    Raises:
        DataError: There is none.
    """
    path = Path(source)
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.is_file() and file_format(p) in READABLE)
        if not found:
            raise DataError(f"{path}: a folder without event files ({', '.join(READABLE)})")
        return found
    if path.exists():
        return [path]
    found = sorted(Path(name) for name in glob.glob(str(source), recursive=True))
    found = [p for p in found if p.is_file()]
    if not found:
        raise DataError(f"{source}: no such file; give a file, a folder, a glob or a database URI")
    return found


def file_format(path: Path) -> str:
    """Return the suffix that tells a file's format, without that of its compression."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def read_file(path: Path, options: ReadOptions, log: ReadLog) -> Table:
    """Read one file by its suffix.

    Raises:
        DataError: The file is empty, broken or of another format than its name says.
    """
    suffix = file_format(path)
    if suffix in DELIMITED:
        return read_delimited(path, options.column_names, log)
    if suffix in JSON_LINES:
        return _read_json_lines(path)
    if suffix in PARQUET:
        return _read_parquet(path)
    raise DataError(
        f"{path}: {suffix or 'a name without a suffix'} tells no format that can be read; allowed "
        f"are {', '.join(READABLE)}, and .gz or .zst after those of text"
    )


def _read_parquet(path: Path) -> Table:
    try:
        return Table(pl.scan_parquet(path).collect(), str(path), "row", 1)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path}: not a Parquet file, or a broken one ({error})") from None


def _read_json_lines(path: Path) -> Table:
    try:
        return Table(pl.read_ndjson(path, infer_schema_length=None), str(path), "line", 1)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path}: not JSON Lines, or broken ({error})") from None
