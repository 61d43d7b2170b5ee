"""One small log in many forms, and what is read of it."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import zstandard

from cigf.data.options import ReadOptions
from cigf.data.readers import read_events

ROWS = [(7, "a", "view", 5), (3, "b", "buy", 6), (7, "b", "cart", 9)]
COLUMNS = ("user_id", "item_id", "behavior", "timestamp")
EXPECTED = [(7, "a", "view", 5000), (3, "b", "buy", 6000), (7, "b", "cart", 9000)]
OPTIONS = ReadOptions()


def csv(rows: list[tuple[Any, ...]] = ROWS, separator: str = ",") -> str:
    return "".join(separator.join(map(str, row)) + "\n" for row in [COLUMNS, *rows])


def json_lines() -> str:
    return "".join(json.dumps(dict(zip(COLUMNS, row, strict=True))) + "\n" for row in ROWS)


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def zst(text: str) -> bytes:
    return zstandard.ZstdCompressor().compress(text.encode())


def frame() -> pl.DataFrame:
    return pl.DataFrame(ROWS, schema=list(COLUMNS), orient="row")


def rows_of(source: Any, options: ReadOptions = OPTIONS) -> list[tuple[Any, ...]]:
    events = read_events(source, options).events
    return events.with_columns(pl.col("behavior").cast(pl.String)).rows()
