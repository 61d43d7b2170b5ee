"""A raw table as it was read from one source, before anything is understood."""

from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True, eq=False)
class Table:
    """One source's rows.

    Args:
        frame: All columns as read.
        source: What to call the source in messages.
        unit: What a row is called there: "line" of a text file, else "row".
        first: The number of the first row in that unit.
    """

    frame: pl.DataFrame
    source: str
    unit: str
    first: int
