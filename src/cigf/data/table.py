"""A raw table as it was read from one source, before anything is understood."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

Wanted = Callable[[Sequence[str]], list[str]]
"""Chooses, of a source's columns, those that may be of use; only they are read."""


@dataclass(frozen=True, eq=False)
class Table:
    """One source's rows.

    Args:
        frame: The columns that may be of use, as read.
        columns: Names of all columns of the source.
        source: What to call the source in messages.
        unit: What a row is called there: "line" of a text file, else "row".
        first: The number of the first row in that unit.
    """

    frame: pl.DataFrame
    columns: tuple[str, ...]
    source: str
    unit: str
    first: int
