"""Files of event logs: finding them, and reading each in its format."""

import glob
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from cigf.data.delimited import read_delimited
from cigf.data.json_lines import read_json_lines
from cigf.data.options import ReadOptions
from cigf.data.read_log import ReadLog
from cigf.data.sniffing import PARQUET, check_content
from cigf.data.sql import read_sqlite
from cigf.data.table import Table, Wanted, scanned
from cigf.errors import DataError

COMPRESSED = (".gz", ".zst")
DELIMITED = (".csv", ".tsv", ".txt")
JSON_LINES = (".jsonl", ".ndjson")
PARQUET_FILES = (".parquet", ".pq")
DATABASES = (".db", ".sqlite", ".sqlite3")
READABLE = (*DELIMITED, *JSON_LINES, *PARQUET_FILES, *DATABASES)


def find_files(source: str | Path) -> list[Path]:
    """Return the files that a path, a folder (with those in it) or a glob stands for, sorted.

    Raises:
        DataError: There is none.
    """
    path = Path(source)
    if _exists(path) and path.is_dir():
        found = sorted(_files_in(path))
        if not found:
            raise DataError(f"{path}: a folder without event files ({', '.join(READABLE)})")
        return found
    if _exists(path):
        return [path]
    found = sorted(Path(name) for name in glob.glob(str(source), recursive=True))
    found = [p for p in found if p.is_file()]
    if not found:
        raise DataError(f"{source}: no such file; give a file, a folder, a glob or a database URI")
    return found


def _files_in(folder: Path) -> Iterator[Path]:
    """Yield the readable files of a folder and the folders in it, but for hidden ones."""
    for path in folder.iterdir():
        if path.name.startswith((".", "_")):
            continue  # what Spark and others keep there, such as _temporary
        if path.is_dir():
            yield from _files_in(path)
        elif path.is_file() and file_format(path) in READABLE:
            yield path


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # such as a name that is too long, or a link to itself
        return False


def file_format(path: Path) -> str:
    """Return the suffix that tells a file's format, without that of its compression."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def read_file(path: Path, options: ReadOptions, log: ReadLog, wanted: Wanted) -> Table:
    """Read one file by its suffix.

    Raises:
        DataError: The file is empty, broken or of another format than its name says.
    """
    suffix = file_format(path)
    if suffix in DELIMITED:
        return read_delimited(path, options.column_names, log, wanted)
    if suffix in JSON_LINES:
        return read_json_lines(path, log)
    if suffix in PARQUET_FILES:
        return _read_parquet(path, wanted)
    if suffix in DATABASES:
        return read_sqlite(path, options.query)
    raise DataError(
        f"{path}: {suffix or 'a name without a suffix'} tells no format that can be read; allowed "
        f"are {', '.join(READABLE)}, and .gz or .zst after those of text"
    )


def _read_parquet(path: Path, wanted: Wanted) -> Table:
    check_content(path, PARQUET, "a Parquet file")

    def read() -> Iterator[pl.DataFrame]:
        with _explained(path):
            yield from scanned(lazy.select(wanted(columns)))()

    with _explained(path):
        # Folders named such as behavior=buy are columns.
        lazy = pl.scan_parquet(path, hive_partitioning=True)
        columns = lazy.collect_schema().names()
    return Table(read, tuple(columns), str(path), "row", 1)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: broken Parquet file ({reason})") from None
