import json
from pathlib import Path
from typing import Any

import pytest
from reading_toys import COLUMNS, EXPECTED, OPTIONS, ROWS, rows_of, write

from cigf.data.options import ReadOptions
from cigf.data.readers import read_events
from cigf.errors import DataError


def test_bad_lines_of_json(tmp_path: Path) -> None:
    good = b'{"user":1,"item":2,"event":"pv"}\n'
    path = write(tmp_path / "log.jsonl", good + b"oops\n[1]\n" + good + b'{"user":"\xff"}\n' + good)
    with pytest.raises(DataError, match=r"log\.jsonl: not UTF-8: 1 row \(line 5\)"):
        read_events(path, OPTIONS)
    interactions = read_events(path, ReadOptions(on_error="skip"))
    assert len(interactions) == 3
    assert interactions.dropped == {"not UTF-8": 1, "not a JSON object": 2}


def test_columns_of_json_that_are_not_used_may_hold_anything(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    extras: list[Any] = [{"a": 1}, [], "text"]
    lines = [
        json.dumps({**dict(zip(COLUMNS, row, strict=True)), "extra": extra})
        for row, extra in zip(ROWS, extras, strict=True)
    ]
    assert rows_of(write(path, "\n".join(lines))) == EXPECTED


def test_numbers_of_json_that_are_none(tmp_path: Path) -> None:
    rows = [(1, "a", "view", 5), (2, "a", "view", float("nan")), (3, "a", "view", float("inf"))]
    lines = [json.dumps(dict(zip(COLUMNS, row, strict=True))) for row in rows]
    path = write(tmp_path / "log.jsonl", "\n".join(["", *lines]))
    with pytest.raises(DataError, match=r"timestamp missing or not a time: 2 rows \(lines 3, 4\)"):
        read_events(path, OPTIONS)
    log = read_events(path, ReadOptions(on_error="skip"))
    assert log.events["timestamp"].to_list() == [5000]


def test_bad_rows_of_json_are_named_by_their_lines(tmp_path: Path) -> None:
    good = '{"user":1,"item":2,"event":"pv"}'
    lines = ["", good, " ", "", "{}", good, '{"item":2,"event":"pv"}']
    path = write(tmp_path / "log.jsonl", "\n".join(lines))
    with pytest.raises(DataError, match=r"user_id missing: 2 rows \(lines 5, 7\)"):
        read_events(path, OPTIONS)


def test_json_lines_that_do_not_fit_one_table(tmp_path: Path) -> None:
    path = write(tmp_path / "log.jsonl", b'{"user":{"a":1}}\n{"user":2}\n')
    with pytest.raises(DataError, match="its lines do not fit into one table"):
        read_events(path, OPTIONS)


def test_json_without_a_single_object(tmp_path: Path) -> None:
    path = write(tmp_path / "log.jsonl", b"{oops\n{again\n")
    with pytest.raises(DataError, match="holds no JSON object that can be read"):
        read_events(path, ReadOptions(on_error="skip"))
