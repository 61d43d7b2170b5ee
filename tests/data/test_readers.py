import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pandas as pd
import polars as pl
import pytest
from reading_toys import (
    COLUMNS,
    EXPECTED,
    OPTIONS,
    ROWS,
    csv,
    frame,
    json_lines,
    rows_of,
    write,
    zst,
)

from cigf.data.options import ReadOptions
from cigf.data.readers import read_events, read_test_pairs
from cigf.errors import DataError


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("log.csv", csv()),
        ("log.CSV", csv()),
        ("log.csv", csv(separator=";")),
        ("log.csv", csv(separator="|")),
        ("log.txt", csv(separator="\t")),
        ("log.tsv", csv(separator="\t")),
        ("log.csv", "\ufeff" + csv().replace("\n", "\r\n")),
        ("log.csv", csv().replace("\n", "\n\n")),
        ("log.csv", csv().replace(",", " , ")),
        ("log.csv.gz", gzip.compress(csv().encode())),
        ("log.csv.zst", zst(csv())),
        ("log.tsv.gz", gzip.compress(csv(separator="\t").encode())),
        ("log.jsonl", json_lines()),
        ("log.ndjson", json_lines().replace("\n", "\n\n")),
        ("log.jsonl.gz", gzip.compress(json_lines().encode())),
        ("log.jsonl.zst", zst(json_lines())),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("log") else "",
)
def test_text_files_are_read(tmp_path: Path, name: str, content: str | bytes) -> None:
    assert rows_of(write(tmp_path / name, content)) == EXPECTED


def test_parquet_is_read(tmp_path: Path) -> None:
    frame().write_parquet(tmp_path / "log.parquet")
    assert rows_of(str(tmp_path / "log.parquet")) == EXPECTED


@pytest.mark.parametrize(
    "convert",
    [
        lambda f: f,
        lambda f: f.lazy(),
        lambda f: f.to_arrow(),
        lambda f: f.to_dict(as_series=False),
        lambda f: pd.DataFrame(f.to_dict(as_series=False)),
        lambda f: pd.DataFrame(f.to_dict(as_series=False)).astype({"behavior": "category"}),
        lambda f: pd.DataFrame(f.to_dict(as_series=False)).astype({"user_id": "Int64"}),
        lambda f: pd.DataFrame(f.to_dict(as_series=False)).astype({"user_id": "float64"}),
        lambda f: pd.DataFrame(f.to_dict(as_series=False)).astype({"item_id": "object"}),
    ],
)
def test_frames_are_read(convert: Callable[[pl.DataFrame], Any]) -> None:
    assert rows_of(convert(frame())) == EXPECTED


@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz", "log.jsonl", "log.jsonl.gz", "log.pq"])
def test_marks_of_patterns_in_the_name_of_a_folder_are_no_pattern(
    tmp_path: Path, name: str
) -> None:
    text = json_lines() if "json" in name else csv()
    content = gzip.compress(text.encode()) if name.endswith(".gz") else text.encode()
    for folder, changed in (("logs[1]", content), ("logs1", b"another file")):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / name, changed)
    if name == "log.pq":
        frame().write_parquet(tmp_path / "logs[1]" / name)
    assert rows_of(tmp_path / "logs[1]" / name) == EXPECTED
    assert rows_of(tmp_path / "logs[1]") == EXPECTED


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_times_of_pandas_are_read(zone: str | None) -> None:
    times = pd.to_datetime(["2020-01-01T12:00", "2020-01-02T12:00", "2020-01-03T12:00"])
    source = pd.DataFrame(frame().to_dict(as_series=False))
    source["timestamp"] = times if zone is None else times.tz_localize("UTC").tz_convert(zone)
    noon = int(datetime(2020, 1, 1, 12, tzinfo=UTC).timestamp()) * 1000
    assert [row[3] for row in rows_of(source)] == [noon, noon + 86_400_000, noon + 172_800_000]


def test_ids_of_mixed_types_in_one_pandas_column_are_one_id() -> None:
    source = pd.DataFrame({"user": [17, "17", "x"], "item": [1, 2, 3], "event": ["pv"] * 3})
    assert [row[0] for row in rows_of(source)] == ["17", "17", "x"]


def test_objects_in_a_pandas_column_are_read_as_they_are_written() -> None:
    ids = [UUID(int=7), UUID(int=3), UUID(int=7)]
    noon = datetime(2020, 1, 1, 12, tzinfo=UTC)
    zones = [ZoneInfo("Europe/Berlin"), UTC, ZoneInfo("Asia/Tokyo")]
    source = pd.DataFrame(frame().to_dict(as_series=False)).assign(user_id=ids)
    source["timestamp"] = pd.Series([noon.astimezone(zone) for zone in zones], dtype="object")
    moment = int(noon.timestamp()) * 1000
    assert [(row[0], row[3]) for row in rows_of(source)] == [(str(each), moment) for each in ids]


def test_several_files_a_glob_and_a_folder_give_the_same(tmp_path: Path) -> None:
    parts = [write(tmp_path / f"part-{i}.csv", csv([row])) for i, row in enumerate(ROWS)]
    write(tmp_path / "_SUCCESS", "")
    assert rows_of(parts) == EXPECTED
    assert rows_of(str(tmp_path / "part-*.csv")) == EXPECTED
    assert rows_of(tmp_path) == EXPECTED
    assert rows_of([str(tmp_path / "part-*.csv"), parts[1]]) == EXPECTED


@pytest.mark.parametrize("pattern", ["*", "**", "day=*", "[d]ay=1*/*", "day=1/2*"])
def test_folders_that_a_glob_matches_are_read_once(tmp_path: Path, pattern: str) -> None:
    inner = tmp_path / "day=1" / "2025"
    hidden = [inner / "_temporary", tmp_path / "day=1" / ".trash"]
    for folder in (inner, *hidden):
        folder.mkdir(parents=True)
        write(folder / "part-0.csv", csv(ROWS[:1]))
    for folder in hidden if pattern == "**" else ():
        (folder / "part-0.csv").unlink()  # what a glob matches itself is read
    write(inner / "part-1.csv", csv(ROWS[1:]))
    assert sorted(rows_of(str(tmp_path / pattern))) == sorted(EXPECTED)


def test_partitioned_parquet_is_one_log(tmp_path: Path) -> None:
    for name in ("view", "buy", "cart"):
        part = tmp_path / f"behavior={name}" / "day=2025-03-01"
        part.mkdir(parents=True)
        rows = frame().filter(pl.col("behavior") == name).drop("behavior")
        rows.write_parquet(part / "part-0.parquet")
    (tmp_path / "_temporary").mkdir()
    frame().write_parquet(tmp_path / "_temporary" / "part-0.parquet")
    assert sorted(rows_of(tmp_path)) == sorted(EXPECTED)


def test_a_folder_s_name_does_not_outvote_a_column_of_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "user=alice" / "behavior=view" / "date=2020-01-01"
    folder.mkdir(parents=True)
    source = frame().rename({"user_id": "uid", "timestamp": "ts"})
    source.write_parquet(folder / "part-0.parquet")
    assert rows_of(tmp_path) == EXPECTED
    asked = rows_of(tmp_path, ReadOptions(user_col="user"))
    assert [row[1:] for row in asked] == [row[1:] for row in EXPECTED]
    assert {row[0] for row in asked} == {"alice"}


def test_ids_in_the_names_of_folders_stay_text(tmp_path: Path) -> None:
    for name in ("017", "17", "a%2Fb", "__HIVE_DEFAULT_PARTITION__"):
        folder = tmp_path / f"user_id={name}"
        folder.mkdir()
        frame().drop("user_id").head(1).write_parquet(folder / "part-0.parquet")
    log = read_events(tmp_path, ReadOptions(on_error="skip"))
    assert log.events["user_id"].to_list() == ["017", "17", "a/b"]
    assert log.dropped == {"user_id missing": 1}


def test_a_folder_that_links_back_is_read_once(tmp_path: Path) -> None:
    inner = tmp_path / "2025"
    inner.mkdir()
    frame().write_parquet(inner / "part-0.parquet")
    (inner / "again").symlink_to(tmp_path, target_is_directory=True)
    assert rows_of(tmp_path) == EXPECTED


def test_a_log_without_times_has_none() -> None:
    assert not read_events(frame().drop("timestamp"), OPTIONS).has_times


def test_times_can_be_left_unused() -> None:
    assert not read_events(frame(), ReadOptions(time_col="")).has_times


def test_named_columns_win_over_aliases() -> None:
    source = frame().rename({"user_id": "who"}).with_columns(user_id=pl.lit("nobody"))
    assert rows_of(source, ReadOptions(user_col="who")) == EXPECTED


def test_a_file_without_a_header_gets_its_names(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", csv().partition("\n")[2])
    assert rows_of(path, ReadOptions(column_names=COLUMNS)) == EXPECTED


def test_a_default_behavior_stands_in_for_a_missing_column() -> None:
    options = ReadOptions(default_behavior="cart")
    assert [row[2] for row in rows_of(frame().drop("behavior"), options)] == ["cart"] * 3


def test_a_value_mapped_to_nothing_is_left_out_and_counted() -> None:
    interactions = read_events(frame(), ReadOptions(mapping={"cart": ""}))
    assert interactions.events["user_id"].to_list() == [7, 3]
    assert interactions.dropped == {"behaviors mapped to nothing": 1}


def test_codes_are_mapped() -> None:
    source = frame().with_columns(behavior=pl.Series([0.0, 1.0, 2.0]))
    options = ReadOptions(mapping={"0": "view", "1": "buy", "2": "cart"})
    assert rows_of(source, options) == EXPECTED


@pytest.mark.parametrize("convert", [pl.DataFrame, pd.DataFrame])
def test_missing_codes_among_numbers_are_missing_behaviors(convert: Callable[..., Any]) -> None:
    codes = [1.0, 2.0, float("nan")]
    source = convert({"user": [1, 2, 3], "item": [1, 2, 3], "action": codes})
    options = ReadOptions(behaviors=("view", "buy"), mapping={"1": "view", "2": "buy"})
    with pytest.raises(DataError, match=r"behavior missing: 1 row \(row 2\)"):
        read_events(source, options)
    log = read_events(source, options.model_copy(update={"on_error": "skip"}))
    assert log.events["behavior"].to_list() == ["view", "buy"]
    assert log.dropped == {"behavior missing": 1}


@pytest.mark.parametrize("code", [float("inf"), 1e300, 1.5])
def test_codes_that_are_no_whole_numbers_are_unknown(code: float) -> None:
    source = pl.DataFrame({"user": [1, 2], "item": [1, 2], "action": [1.0, code]})
    options = ReadOptions(behaviors=("view", "buy"), mapping={"1.0": "view"}, on_error="skip")
    assert read_events(source, options).dropped == {"unknown behavior": 1}


def test_the_target_comes_last() -> None:
    behaviors = read_events(frame(), ReadOptions(target="view")).behaviors
    assert behaviors.names == ("cart", "buy", "view")


def test_ids_of_two_types_in_two_files_are_settled_and_reported(tmp_path: Path) -> None:
    text = write(tmp_path / "a.jsonl", '{"user":"17","item":"x","event":"pv"}\n')
    number = write(tmp_path / "b.jsonl", '{"user":17,"item":" x","event":"purchase"}\n')
    interactions = read_events([text, number], OPTIONS)
    assert interactions.events["user_id"].to_list() == [17, 17]
    assert interactions.events["item_id"].to_list() == ["x", "x"]
    assert "ids are integers in one source and text in another" in " ".join(interactions.warnings)
    assert "had blanks around them" in " ".join(interactions.warnings)


def test_test_pairs_need_no_behavior_and_no_time() -> None:
    options = ReadOptions(user_col="who", time_col="when", behavior_col="what")
    pairs = read_test_pairs(pl.DataFrame({"user": [3], "item": ["z"]}), options)
    assert pairs.events.rows() == [(3, "z", "buy")]
    pairs = read_test_pairs(pl.DataFrame({"user": [3], "item": ["z"], "action": ["pv"]}), options)
    assert pairs.events.rows() == [(3, "z", "view")]


def test_test_pairs_without_a_behavior_are_of_the_target_whatever_the_log_s_are() -> None:
    options = ReadOptions(default_behavior="cart")
    pairs = read_test_pairs(pl.DataFrame({"user": [3], "item": ["z"]}), options)
    assert pairs.events["behavior"].to_list() == ["buy"]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("item,user\nz,3\n", {}),
        ('"item_id","user_id"\nz,3\n', {}),
        ("which,who\nz,3\n", {"user_col": "who", "item_col": "which"}),
        ("3,view,z\n", {}),
    ],
)
def test_test_pairs_have_a_header_or_the_log_s_columns(
    tmp_path: Path, text: str, options: dict[str, Any]
) -> None:
    names = (options.get("user_col", "user"), "behavior", options.get("item_col", "item"))
    path = write(tmp_path / "test.csv", text)
    pairs = read_test_pairs(path, ReadOptions(column_names=names, **options))
    assert pairs.events.select("user_id", "item_id").rows() == [(3, "z")]


def test_remarks_about_ids_name_the_source_that_has_them(tmp_path: Path) -> None:
    lines = csv().splitlines()
    head, rows = lines[0], lines[1:]
    blanks = [f" {row}" for row in rows[:2]]
    first = write(tmp_path / "a.csv", "\n".join([head, *blanks]))
    second = write(tmp_path / "b.csv", "\n".join([head, *rows]))
    (remark,) = read_events([first, second], OPTIONS).warnings
    assert remark.startswith(f"{first}: user_id: 2 ids had blanks around them")


def test_a_source_without_good_rows_decides_nothing(tmp_path: Path) -> None:
    numbers = pl.DataFrame({"user": [1, 2], "item": [3, 4], "behavior": ["view", "buy"]})
    bad = pl.DataFrame({"user": ["x", "y"], "item": [None, None], "behavior": ["view", "buy"]})
    log = read_events([numbers, bad], ReadOptions(on_error="skip"))
    assert log.events["user_id"].to_list() == [1, 2]
    assert log.warnings == ()
