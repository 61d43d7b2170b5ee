import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

from cigf.data.options import ReadOptions
from cigf.data.readers import read_events
from cigf.errors import DataError, MissingExtraError

QUERY = "SELECT who AS user_id, what AS item_id, how AS event FROM log"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as link:
        link.execute("CREATE TABLE log (who, what, how, price)")
        rows = [(7, "a", "pv", 1.5), ("7", "b", "purchase", None), (3, b"a", "pv", 2)]
        link.executemany("INSERT INTO log VALUES (?, ?, ?, ?)", rows)
    link.close()
    return path


def rows_of(source: Any, query: str | None) -> list[tuple[Any, ...]]:
    events = read_events(source, ReadOptions(behaviors=("view", "buy"), query=query)).events
    return list(zip(*(events[name].to_list() for name in events.columns), strict=True))


EXPECTED = [(7, "a", "view"), (7, "b", "buy"), (3, "a", "view")]


def test_a_query_on_a_file_of_any_form(shop: Path) -> None:
    assert rows_of(shop, QUERY) == EXPECTED
    assert rows_of(f"sqlite:///{shop}", QUERY) == EXPECTED


def test_the_only_table_is_read_without_a_query(shop: Path) -> None:
    options = ReadOptions(behaviors=("view", "buy"), user_col="who", item_col="what")
    events = read_events(shop, options.model_copy(update={"behavior_col": "how"})).events
    assert events["user_id"].to_list() == [7, 7, 3]


@pytest.mark.parametrize("old", [False, True])
def test_an_adbc_driver_gives_the_same(
    shop: Path, monkeypatch: pytest.MonkeyPatch, old: bool
) -> None:
    if old:
        cursor = "adbc_driver_manager.dbapi.Cursor.fetch_arrow"
        monkeypatch.delattr(cursor, raising=False)
    with sqlite3.connect(shop) as link:  # the driver wants one type per column
        link.execute("UPDATE log SET who = CAST(who AS INTEGER), what = CAST(what AS TEXT)")
    link.close()
    assert rows_of(f"adbc+sqlite:///{shop}", QUERY) == EXPECTED


def test_large_results_come_in_batches(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cigf.data.sql.BATCH", 2)
    assert rows_of(shop, QUERY) == EXPECTED


def test_no_rows(shop: Path) -> None:
    with pytest.raises(DataError, match="holds no events"):
        rows_of(shop, QUERY + " WHERE who = 99")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT * FROM lgo", r"the query failed \(no such table: lgo\); check --query"),
        ("SELECT nix", r"the query failed \(no such column: nix\)"),
        ("DELETE FROM log", r"the query failed \(attempt to write a readonly database\)"),
        ("PRAGMA journal_mode", r"column 'user_id' not found"),
        ("DROP TABLE IF EXISTS lgo", r"the query gives no rows; it must be a SELECT"),
    ],
)
def test_queries_that_fail(shop: Path, query: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        rows_of(shop, query)


@pytest.mark.parametrize("scheme", ["sqlite", "adbc+sqlite"])
def test_columns_of_one_name_are_to_be_renamed(shop: Path, scheme: str) -> None:
    query = "SELECT who AS user_id, what AS item_id, how AS event, 'x' AS item_id FROM log LIMIT 1"
    message = r"the query gives two columns of one name \(.*'item_id'.*\); name one with AS"
    with pytest.raises(DataError, match=message):
        rows_of(f"{scheme}:///{shop}", query)


def test_several_tables_need_a_query(shop: Path) -> None:
    with sqlite3.connect(shop) as link:
        link.execute("CREATE TABLE users (id)")
    link.close()
    with pytest.raises(DataError, match=r"holds 2 tables \(log, users\); say what to read with"):
        rows_of(shop, None)


def test_no_database(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such database file"):
        rows_of("sqlite:///nowhere.db", QUERY)
    (tmp_path / "fake.db").write_text("user_id,item_id\n")
    with pytest.raises(DataError, match="not an SQLite database, as its name says"):
        rows_of(tmp_path / "fake.db", QUERY)


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql", None)
    with pytest.raises(MissingExtraError, match="pip install adbc-driver-postgresql"):
        rows_of("postgresql://me:secret@host/shop", QUERY)


def test_a_driver_needs_a_query_and_shows_no_password() -> None:
    with pytest.raises(DataError, match=r"^host/shop: say what to read with --query"):
        rows_of("postgresql://me:secret@host/shop", None)


def test_a_failing_driver_is_quoted(shop: Path) -> None:
    with pytest.raises(DataError, match=r"the database refused .*no such table: lgo"):
        rows_of(f"adbc+sqlite:///{shop}", "SELECT * FROM lgo")


@pytest.mark.parametrize("uri", ["https://host/log.csv", "s3://bucket/log.parquet"])
def test_files_elsewhere_are_to_be_downloaded(uri: str) -> None:
    with pytest.raises(DataError, match="the address of a file elsewhere; download it and give"):
        rows_of(uri, None)
