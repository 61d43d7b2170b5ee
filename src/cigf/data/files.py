"""Files of event logs: finding them, and reading each in its format."""

import glob
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import polars as pl

from cigf.data.columns import names_pairs, stand_ins
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

_NULL = "__HIVE_DEFAULT_PARTITION__"
"""A folder's value where there is none."""


def find_files(source: str | Path) -> list[Path]:
    """Return the files that a path, a folder (with those in it) or a glob stands for, sorted.

    A folder that a glob matches stands for the files in it, too.

    Raises:
        DataError: There is none.
    """
    path = Path(source)
    if _exists(path) and path.is_dir():
        found = sorted(_files_in(path, set()))
        if not found:
            raise DataError(f"{path}: a folder without event files ({', '.join(READABLE)})")
        return found
    if _exists(path):
        return [path]
    found = sorted(set(_matched(path)))
    if not found:
        raise DataError(f"{source}: no such file; give a file, a folder, a glob or a database URI")
    return found


def _matched(pattern: Path) -> Iterator[Path]:
    known: set[Path] = set()
    for path in map(Path, sorted(glob.glob(str(pattern), recursive=True))):
        if path.is_file():
            yield path
        elif path.is_dir() and not any(map(_is_hidden, {*path.parts} - {*pattern.parts})):
            yield from _files_in(path, known)


def _files_in(folder: Path, known: set[Path]) -> Iterator[Path]:
    """Yield the readable files of a folder and the folders in it, but for hidden and known ones."""
    if folder.resolve() in known:
        return  # a link to where its files were found before, or to a folder that it is in
    known.add(folder.resolve())
    for path in sorted(folder.iterdir()):
        if _is_hidden(path.name):
            continue
        if path.is_dir():
            yield from _files_in(path, known)
        elif path.is_file() and file_format(path) in READABLE:
            yield path


def _is_hidden(name: str) -> bool:
    """Tell names of what Spark and others keep beside the files, such as _temporary."""
    return name.startswith((".", "_"))


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


def read_file(
    path: Path, options: ReadOptions, log: ReadLog, wanted: Wanted, *, fall_back: bool = False
) -> Table:
    """Read one file by its suffix.

    Args:
        path: The file.
        options: How the log is to be understood.
        log: Where bad rows are reported.
        wanted: Chooses the columns that are read.
        fall_back: A first line that names users and items wins over `options.column_names`.

    Raises:
        DataError: The file is empty, broken or of another format than its name says.
    """
    suffix = file_format(path)
    if suffix in DELIMITED:
        is_header = partial(names_pairs, options=options) if fall_back else None
        return read_delimited(path, options.column_names, log, wanted, is_header)
    if suffix in JSON_LINES:
        return read_json_lines(path, log, wanted)
    if suffix in PARQUET_FILES:
        return _read_parquet(path, options, wanted)
    if suffix in DATABASES:
        return read_sqlite(path, options.query)
    raise DataError(
        f"{path}: {suffix or 'a name without a suffix'} tells no format that can be read; allowed "
        f"are {', '.join(READABLE)}, and .gz or .zst after those of text"
    )


def _read_parquet(path: Path, options: ReadOptions, wanted: Wanted) -> Table:
    check_content(path, PARQUET, "a Parquet file")

    def read() -> Iterator[pl.DataFrame]:
        with _explained(path):
            yield from scanned(lazy.select(wanted(columns)))()

    with _explained(path):
        lazy = pl.scan_parquet(path, hive_partitioning=False, glob=False)
        columns = lazy.collect_schema().names()
    folders = _folder_columns(path)
    used = stand_ins(columns, list(folders), options)
    lazy = lazy.with_columns(pl.lit(folders[name], pl.String).alias(name) for name in used)
    columns += used
    return Table(read, tuple(columns), str(path), "row", 1)


def _folder_columns(path: Path) -> dict[str, str | None]:
    """Return what the names of a file's folders say, such as behavior=buy (Hive's partitions).

    As text, because a number may be an id with leading zeros.
    """
    named = [part.split("=", 1) for part in path.parts[:-1] if "=" in part]
    values = {unquote(name): unquote(value) for name, value in named}
    return {name: None if value == _NULL else value for name, value in values.items()}


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: broken Parquet file ({reason})") from None
