"""Bad input: one clear error each."""

import gzip
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import polars as pl
import pytest
from reading_toys import (
    COLUMNS,
    EXPECTED,
    OPTIONS,
    csv,
    frame,
    rows_of,
    write,
    zst,
)

from cigf.data.options import PrepareOptions, ReadOptions
from cigf.data.readers import read_events, read_test_pairs
from cigf.errors import DataError


def good_lines(count: int) -> bytes:
    return b"".join(b"%d,1,view\n" % line for line in range(count))


HEAD = b"user_id,item_id,behavior\n"
ONE = HEAD + b"1,2,view\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("log.csv", b"", r"log\.csv: the file is empty"),
        ("log.csv", b"\n\n", r"log\.csv: the file is empty"),
        ("log.csv.gz", gzip.compress(b""), r"log\.csv\.gz: the file is empty"),
        ("log.csv", HEAD, r"log\.csv: holds no events"),
        ("log.jsonl", b"", r"log\.jsonl: the file is empty"),
        ("log.parquet", b"", r"log\.parquet: the file is empty"),
        ("log.csv", b"PAR1" + bytes(99), r"not a text file, as its name says; it looks like a Par"),
        ("log.csv", b"PK\x03\x04" + bytes(99), r"it looks like a zip archive or a spreadsheet"),
        ("log.csv", b"\x80\x04\x95", r"it looks like a Python pickle"),
        ("log.csv", ONE.decode().encode("utf-16"), r"UTF-16 text; save it as UTF-8"),
        ("log.csv", b'{"user_id": 1}\n', r"not CSV, as its name says; it looks like JSON"),
        ("log.csv", b"<html>\n", r"not CSV, as its name says; it looks like HTML"),
        ("log.parquet", ONE, r"not a Parquet file, as its name says; it begins with b'user_id,'"),
        ("log.parquet", b"PAR1" + bytes(99), r"log\.parquet: broken Parquet file"),
        ("log.jsonl", ONE, r"not JSON Lines, as its name says; it begins with 'user_id,item_id,"),
        ("log.jsonl", b'[{"user_id": 1}]', r"one JSON array, not JSON Lines"),
        ("log.csv.gz", ONE, r"not a gzip file, as its name says"),
        ("log.csv.zst", ONE, r"not a Zstandard file, as its name says"),
        ("log.csv.gz", gzip.compress(HEAD + good_lines(999))[:-20], r"broken gzip file \(unexpec"),
        ("log.csv.gz", gzip.compress(HEAD)[:-8] + bytes(8), r"broken gzip file \(corrupt gzip st"),
        ("log.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 99)[:-9], r"broken gzip file"),
        ("log.csv.zst", zst(csv())[:-5], r"log\.csv\.zst: broken Zstandard file"),
        ("log.xlsx", ONE, r"\.xlsx tells no format that can be read; allowed are \.csv, \.tsv"),
        ("log", ONE, r"a name without a suffix tells no format that can be read"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_files_that_are_not_what_they_should_be(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_events(write(tmp_path / name, content), OPTIONS)


@pytest.mark.parametrize(
    ("body", "message", "left", "dropped"),
    [
        (
            b"1,2,view\n3,4\n5,6,buy\n7\n",
            r"log\.csv: too few fields \(fewer than 3\): 2 rows \(lines 3, 5\); correct the file, "
            r"or pass --on-error skip",
            2,
            {"too few fields (fewer than 3)": 2},
        ),
        (
            b"1,2,view\n3,4,view,9\n5,6,buy\n",
            r"too many fields \(more than 3\): 1 row \(line 3\)",
            2,
            {"too many fields (more than 3)": 1},
        ),
        (
            b"1,2,view\n3,\xff\xfe,view\n5,6\n7,8,buy\n",
            r"not UTF-8: 1 row \(line 3\)",
            2,
            {"not UTF-8": 1, "too few fields (fewer than 3)": 1},
        ),
        (
            b'1,2,view\n3,"4,view\n5,6,buy\n',
            r"unclosed quotation mark: 1 row \(line 3\)",
            2,
            {"unclosed quotation mark": 1},
        ),
        (
            b"1,2,view\n,4,view\n5,,buy\n7,8,buy\n",
            r"user_id missing: 1 row \(line 3\)",
            2,
            {"user_id missing": 1, "item_id missing": 1},
        ),
        (
            b'1,2,view\n3,4,""\n5,6,buy\n',
            r"behavior missing: 1 row \(line 3\)",
            2,
            {"behavior missing": 1},
        ),
        (
            b"1,2,view\n" + b"3,4\n" * 9,
            r"9 rows \(lines 3, 4, 5, 6, 7, \.\.\.\)",
            1,
            {"too few fields (fewer than 3)": 9},
        ),
    ],
)
def test_bad_lines_of_csv(
    tmp_path: Path, body: bytes, message: str, left: int, dropped: dict[str, int]
) -> None:
    path = write(tmp_path / "log.csv", HEAD + body)
    with pytest.raises(DataError, match=message):
        read_events(path, OPTIONS)
    interactions = read_events(path, ReadOptions(on_error="skip"))
    assert len(interactions) == left
    assert interactions.dropped == dropped


@pytest.mark.parametrize("n_blank", [0, 1, 2])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("names", [None, COLUMNS])
def test_empty_lines_before_all_others_are_counted(
    tmp_path: Path, n_blank: int, end: str, names: tuple[str, ...] | None
) -> None:
    lines = csv(separator=";").splitlines()
    lines = [""] * n_blank + (lines if names is None else lines[1:])
    path = tmp_path / "log.csv"
    options = ReadOptions(column_names=names)
    assert rows_of(write(path, end.join([*lines, ""])), options) == EXPECTED
    for line, reason in [
        ("7;;view;5", "item_id missing"),
        ("7;a;view", r"too few fields \(fewer than 4\)"),
        ("7;a;view;5;6", r"too many fields \(more than 4\)"),
    ]:
        write(path, end.join([*lines, line, ""]))
        with pytest.raises(DataError, match=rf"{reason}: 1 row \(line {len(lines) + 1}\)"):
            read_events(path, options)
        skipped = options.model_copy(update={"on_error": "skip"})
        assert rows_of(path, skipped) == EXPECTED


def test_short_lines_after_the_needed_columns_are_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", b"user,item,event,price\n1,2,pv,9\n3,4,pv\n5,6,pv,\n")
    with pytest.raises(DataError, match=r"too few fields \(fewer than 4\): 1 row \(line 3\)"):
        read_events(path, OPTIONS)
    assert len(read_events(path, ReadOptions(on_error="skip"))) == 2


def test_rows_over_several_lines_are_no_short_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", b'user,item,event,note\n1,2,pv,"a\nb"\n3,4,pv,\n')
    assert len(read_events(path, OPTIONS)) == 2


def test_lines_that_no_repair_helps(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", HEAD + b'1,2,view\n3,a"b"c",d",buy\n')
    with pytest.raises(DataError, match=r"log\.csv: cannot be read as CSV"):
        read_events(path, OPTIONS)


def test_a_file_that_may_not_be_opened(tmp_path: Path) -> None:
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    with pytest.raises(DataError, match="no such file"):
        read_events(tmp_path / "loop.csv", OPTIONS)


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (
            ("user_id", "item_id", "what_done"),
            {},
            r"column 'behavior' not found \(columns are user_id, item_id, what_done\); name the "
            r"right one with --behavior-col",
        ),
        (("usr", "item_id", "event"), {}, r"column 'user_id' not found.*--user-col"),
        (("user_id", "thing", "event"), {}, r"column 'item_id' not found.*--item-col"),
        (
            ("user_id", "item_id", "event"),
            {"time_col": "evnt"},
            r"column 'evnt' not found; did you mean event\?.*--time-col",
        ),
        (
            ("user_id", "item_id", "event"),
            {"user_col": "item_id"},
            r"column 'item_id' cannot be both user_id and item_id; name another with --item-col",
        ),
    ],
)
def test_missing_columns_are_named_with_the_option(
    names: tuple[str, ...], options: dict[str, Any], message: str
) -> None:
    source = pl.DataFrame([[1], [2], ["view"]], schema=list(names))
    with pytest.raises(DataError, match=message):
        read_events(source, ReadOptions(**options))


def test_a_file_without_a_header_is_suspected(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", b"1,2,view\n3,4,view\n")
    with pytest.raises(DataError, match="if the file has no header line, name its columns with"):
        read_events(path, OPTIONS)


def test_a_column_that_stands_twice(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", b"user_id,item_id,user_id,behavior\n1,2,3,view\n")
    with pytest.raises(DataError, match="column 'user_id' stands twice in the header"):
        read_events(path, OPTIONS)


def test_a_column_of_pandas_that_stands_twice() -> None:
    source = pd.DataFrame([[1, 5, 2, "view"]], columns=["user", "user", "item", "action"])
    with pytest.raises(DataError, match="data frame: column 'user' stands twice; rename one"):
        read_events(source, OPTIONS)


def test_ids_of_a_type_that_polars_does_not_know() -> None:
    source = pl.DataFrame({"user": [UUID(int=7)], "item": [1], "action": ["view"]})
    with pytest.raises(DataError, match="column user holds Object; ids must be integers or text"):
        read_events(source, OPTIONS)


def test_the_wrong_number_of_column_names(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", b"1,2,view\n")
    with pytest.raises(DataError, match=r"first line has 3 fields, 2 column names were given"):
        read_events(path, ReadOptions(column_names=("user_id", "item_id")))
    with pytest.raises(DataError, match="give one name per field, or the file a header of its own"):
        read_test_pairs(path, ReadOptions(column_names=("user_id", "item_id"), behaviors=("buy",)))


def test_unknown_behaviors_are_counted_and_a_mapping_is_suggested() -> None:
    source = frame().with_columns(behavior=pl.Series(["vieww", "share", "vieww"]))
    message = (
        r"data frame: unknown behavior 'vieww' \(2 rows\), 'share' \(1 row\); did you mean view\? "
        r"\(behaviors: view, cart, buy\); map it with --map vieww=view, leave it out with "
        r"--map vieww=, or "
    )
    with pytest.raises(DataError, match=f"{message}prepare and train anew with it in --behaviors"):
        read_events(source, OPTIONS)
    with pytest.raises(DataError, match=f"{message}name it in --behaviors"):
        read_events(source, PrepareOptions())
    with pytest.raises(DataError, match=r"holds no events that can be used \(left out: unknown b"):
        read_events(source, ReadOptions(on_error="skip"))


def test_behaviors_of_another_type() -> None:
    source = frame().with_columns(behavior=pl.Series([["view"], ["buy"], []]))
    with pytest.raises(DataError, match=r"behavior holds List\(String\); behaviors must be text"):
        read_events(source, OPTIONS)


def test_many_unknown_behaviors_are_not_all_listed() -> None:
    source = pl.DataFrame(
        {"user": range(7), "item": range(7), "event": [f"x{i}" for i in range(7)]}
    )
    with pytest.raises(DataError, match=r"'x4' \(1 row\) and 2 more \(behaviors"):
        read_events(source, OPTIONS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"mapping": {"pv": "vieww"}},
            r"--map pv=vieww: 'vieww' is not among .*; did you mean view\?",
        ),
        (
            {"default_behavior": "by"},
            r"default behavior by: 'by' is not among the behaviors; did you mean buy\? "
            r"\(behaviors: view, cart, buy\); choose one of them, or prepare and train anew",
        ),
        ({"target": "sale"}, r"target 'sale' is not among the behaviors \(behaviors: view, cart"),
        ({"target": "buyy"}, r"target 'buyy' is not among the behaviors; did you mean buy\?"),
        ({"behaviors": ("buy", "buy")}, r"behaviors: buy given more than once"),
        ({"behaviors": ()}, r"behaviors: none given"),
        ({"behaviors": ("view", "", "buy")}, r"behaviors: an empty name among 'view', '', 'buy'"),
    ],
)
def test_options_that_contradict_the_behaviors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_events(frame(), ReadOptions(**options))


@pytest.mark.parametrize(
    ("times", "message", "dropped"),
    [
        (
            [1.0, float("nan"), 3.0],
            r"timestamp missing or not a time: 1 row \(row 1\)",
            {"timestamp missing or not a time": 1},
        ),
        (
            [1, -2, -3],
            r"negative timestamp: 2 rows \(rows 1, 2\); correct the times, pass --time-col '' to "
            r"do without; or pass --on-error skip to leave such rows out",
            {"negative timestamp": 2},
        ),
        (
            ["2020-01-01", "soon", "2020-01-03"],
            r"timestamp missing or not a time: 1 row \(row 1\)",
            {"timestamp missing or not a time": 1},
        ),
        (
            [None, None, 1],
            r"timestamp missing or not a time: 2 rows \(rows 0, 1\)",
            {"timestamp missing or not a time": 2},
        ),
    ],
)
def test_times_that_are_none(times: list[Any], message: str, dropped: dict[str, int]) -> None:
    source = frame().with_columns(timestamp=pl.Series(times, strict=False))
    with pytest.raises(DataError, match=message):
        read_events(source, OPTIONS)
    interactions = read_events(source, ReadOptions(on_error="skip"))
    assert interactions.dropped == dropped
    assert len(interactions) == 3 - sum(dropped.values())
    assert len(read_events(source, ReadOptions(time_col=""))) == 3


def test_times_beyond_the_calendar() -> None:
    times = pl.Series([1, 2, 10**15]).cast(pl.Datetime("ms"))
    with pytest.raises(DataError, match=r"timestamp after the year 9999: 1 row \(row 2\)"):
        read_events(frame().with_columns(timestamp=times), OPTIONS)


def test_sources_with_and_without_times_do_not_mix() -> None:
    with pytest.raises(DataError, match="data frame has no times, data frame has; give all"):
        read_events([frame(), frame().drop("timestamp")], OPTIONS)


@pytest.mark.parametrize("source", ["nowhere.csv", "nowhere/*.csv", "n" * 5000])
def test_missing_files(tmp_path: Path, source: str) -> None:
    with pytest.raises(DataError, match="no such file; give a file, a folder, a glob or a"):
        read_events(str(tmp_path / source), OPTIONS)


def test_folders_without_events(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a folder without event files"):
        read_events(tmp_path, OPTIONS)


def test_no_source() -> None:
    with pytest.raises(DataError, match="no source given"):
        read_events([], OPTIONS)


@pytest.mark.parametrize("source", [5, np.zeros(3)])
def test_sources_of_another_kind(source: Any) -> None:
    with pytest.raises(DataError, match=r"source of type \w+; allowed are paths, globs"):
        read_events(source, OPTIONS)
