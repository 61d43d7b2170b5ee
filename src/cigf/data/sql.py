"""Databases: SQLite by the standard library, any other through its ADBC driver."""

import importlib
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl

from cigf.data.sniffing import check_content
from cigf.data.table import Table, pieces_of
from cigf.errors import DataError, MissingExtraError

URI = re.compile(r"^(?P<scheme>[a-z][a-z0-9+]*)://(?P<rest>.*)$", re.DOTALL)

DRIVERS = {
    "postgres": "adbc_driver_postgresql",
    "postgresql": "adbc_driver_postgresql",
    "snowflake": "adbc_driver_snowflake",
    "grpc": "adbc_driver_flightsql",
    "adbc+sqlite": "adbc_driver_sqlite",
}
"""URI scheme -> Python package of its ADBC driver; adbc+NAME:// asks for adbc_driver_NAME."""

FILE_SCHEMES = ("file", "http", "https", "ftp", "s3", "gs", "gcs", "az", "abfs", "hdfs")
"""Schemes of files elsewhere, which are not read."""

BATCH = 100_000
"""Rows that are fetched at a time."""


def is_database_uri(source: object) -> bool:
    """Tell whether a source is a database URI, such as sqlite:///shop.db."""
    return isinstance(source, str) and URI.match(source) is not None


def read_database(uri: str, query: str | None) -> Table:
    """Run a query on the database of a URI.

    Raises:
        DataError: The database cannot be reached, or the query fails.
        MissingExtraError: The driver is not installed.
    """
    match = URI.match(uri)
    assert match is not None
    if match["scheme"] in FILE_SCHEMES:
        raise DataError(f"{uri}: the address of a file elsewhere; download it and give its path")
    if match["scheme"] == "sqlite":
        return read_sqlite(Path(match["rest"].removeprefix("/")), query)
    return _read_adbc(match["scheme"], match["rest"], uri, query)


def read_sqlite(path: Path, query: str | None) -> Table:
    """Run a query on an SQLite file, which is opened for reading only.

    Without a query the only table is read.
    """
    if not path.exists():
        raise DataError(f"{path}: no such database file")
    check_content(path, b"SQLite format 3", "an SQLite database")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as link:
            cursor = link.execute(query or _whole_table(link, path))
            frame = _fetch(cursor, path)
    except sqlite3.Error as error:
        raise DataError(f"{path}: the query failed ({error}); check --query") from None
    return Table(pieces_of(frame), tuple(frame.columns), str(path), "row", 1)


def _whole_table(link: sqlite3.Connection, path: Path) -> str:
    found = link.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
    tables = sorted(name for (name,) in found if not name.startswith("sqlite_"))
    if len(tables) != 1:
        names = ", ".join(tables) or "none"
        raise DataError(
            f"{path}: holds {len(tables)} tables ({names}); say what to read with --query, such as "
            '"SELECT user_id, item_id, behavior FROM events"'
        )
    quoted = tables[0].replace('"', '""')
    return f'SELECT * FROM "{quoted}"'


def _fetch(cursor: sqlite3.Cursor, path: Path) -> pl.DataFrame:
    if cursor.description is None:
        raise DataError(f"{path}: the query gives no rows; it must be a SELECT")
    names = [column[0] for column in cursor.description]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise _repeated(path, repr(twice))
    parts = []
    while rows := cursor.fetchmany(BATCH):
        columns = zip(names, zip(*rows, strict=True), strict=True)
        parts.append({name: _column(name, values) for name, values in columns})
    if not parts:
        return pl.DataFrame({name: [] for name in names}, schema=dict.fromkeys(names, pl.String))
    frames = [pl.DataFrame(part) for part in parts]
    return pl.concat(frames, how="vertical_relaxed")


def _repeated(source: str | Path, reason: str) -> DataError:
    return DataError(
        f"{source}: the query gives two columns of one name ({reason}); name one with AS, such as "
        '"SELECT events.*, items.kind AS item_kind"'
    )


def _column(name: str, values: tuple[Any, ...]) -> pl.Series:
    """Return a column of SQLite values, whose types may differ from row to row."""
    kinds = {type(value) for value in values} - {type(None)}
    if kinds <= {int} or kinds <= {int, float}:
        return pl.Series(name, values, strict=False)
    texts = [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in values]
    return pl.Series(name, [None if v is None else str(v) for v in texts], dtype=pl.String)


def _read_adbc(scheme: str, rest: str, uri: str, query: str | None) -> Table:
    package = DRIVERS.get(scheme, f"adbc_driver_{scheme.removeprefix('adbc+')}")
    source = uri.split("@")[-1]  # never show a password
    if query is None:
        raise DataError(f"{source}: say what to read with --query")
    try:
        driver = importlib.import_module(f"{package}.dbapi")
    except ModuleNotFoundError:
        purpose = f"reading from {scheme}://"
        raise MissingExtraError(package.replace("_", "-"), None, purpose) from None
    address = rest.removeprefix("/") if scheme.startswith("adbc+") else uri
    try:
        with driver.connect(address) as link, link.cursor() as cursor:
            cursor.execute(query)
            # Without PyArrow where the driver's manager can; the first ones could not.
            fetch = getattr(cursor, "fetch_arrow", cursor.fetch_arrow_table)
            frame = pl.DataFrame(fetch())
    except pl.exceptions.DuplicateError as error:
        raise _repeated(source, str(error).splitlines()[0]) from None
    except driver.Error as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{source}: the database refused ({reason}); check --query") from None
    return Table(pieces_of(frame), tuple(frame.columns), source, "row", 1)
