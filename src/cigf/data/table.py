"""A raw table as it comes from one source, before anything is understood."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cigf.data import limits

Wanted = Callable[[Sequence[str]], list[str]]
"""Chooses, of a source's columns, those that may be of use; only they are read."""


@dataclass(frozen=True, eq=False)
class Table:
    """One source's rows.

    Args:
        pieces: Reads the columns that may be of use, some rows at a time; may be called again.
        columns: Names of all columns of the source.
        source: What to call the source in messages.
        unit: What a row is called there: "line" of a text file, else "row".
        first: The number of the first row in that unit.
        lines: Finds the line of every row, where those without a row are not among the rows; None:
            rows follow on `first`, and empty lines are rows without any value.
    """

    pieces: Callable[[], Iterator[pl.DataFrame]]
    columns: tuple[str, ...]
    source: str
    unit: str
    first: int
    lines: Callable[[], NDArray[np.int64]] | None = None

    def places(self, rows: Sequence[int]) -> list[int]:
        """Return the numbers of some rows in the source."""
        if self.lines is None:
            return [row + self.first for row in rows]
        found: list[int] = self.lines()[list(rows)].tolist()
        return found

    def whole(self) -> pl.DataFrame:
        """Return all rows at once, for sources that are small for sure."""
        return pl.concat(self.pieces())


class Reread(Exception):
    """The source must be read in another way, from its beginning.

    Args:
        table: That way.
    """

    def __init__(self, table: Table) -> None:
        super().__init__(table.source)
        self.table = table


def pieces_of(frame: pl.DataFrame) -> Callable[[], Iterator[pl.DataFrame]]:
    """Return the rows of a frame in memory as pieces, at least one."""

    def read() -> Iterator[pl.DataFrame]:
        if frame.height <= limits.PIECE_ROWS:
            yield frame
        else:
            yield from frame.iter_slices(limits.PIECE_ROWS)

    return read


def scanned(lazy: pl.LazyFrame) -> Callable[[], Iterator[pl.DataFrame]]:
    """Return the rows of a query as pieces, at least one, that are read one at a time."""

    def read() -> Iterator[pl.DataFrame]:
        height = 0
        for piece in lazy.collect_batches(chunk_size=limits.PIECE_ROWS, lazy=True):
            height += piece.height
            yield piece
        if not height:
            yield lazy.clear().collect()

    return read
