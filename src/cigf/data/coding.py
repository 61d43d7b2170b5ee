"""Numbers for the values of a column that comes piece by piece."""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Codes = NDArray[np.uint32]

MISSING = 0
"""Code of a missing value."""
EMPTY = 1
"""Code in a row that is an empty line."""
FIRST = 2
"""Code of the first value."""

_MOST_CHUNKS = 8


class Coder:
    """Gives each value of a column a number, in the order in which they first come.

    What is to be known about the values can then be found out once for each of them, not once for
    each row.

    Args:
        dtype: The column's type: anything that Polars can join on.

    Attributes:
        values: What each code means, null for `MISSING` and `EMPTY`.
        counts: How many rows have each code.
    """

    def __init__(self, dtype: Any) -> None:
        self.values = pl.Series("value", [None, None], dtype=dtype)
        self.counts = np.zeros(FIRST, dtype=np.int64)
        self._categories: pl.Series | None = None
        if dtype == pl.String:
            # Polars forgets categories of which no column is left.
            self._categories = pl.Series([], dtype=pl.Categorical(pl.Categories.random()))

    def code(self, column: pl.Series, empty: pl.Series | None = None) -> Codes:
        """Return the number of each row's value.

        Args:
            column: The values of some rows.
            empty: Which rows are empty lines.
        """
        if self._categories is not None:
            coded = column.cast(self._categories.dtype).to_physical() + FIRST
        else:
            coded = self._joined(column)
        codes: Codes = coded.fill_null(MISSING).to_numpy().astype(np.uint32, copy=False)
        self._remember(column, codes)
        if empty is not None and empty.any():
            codes = np.where(empty.to_numpy(), np.uint32(EMPTY), codes)
        counts = np.bincount(codes, minlength=len(self.values))
        counts[: len(self.counts)] += self.counts
        self.counts = counts
        return codes

    def _joined(self, column: pl.Series) -> pl.Series:
        """Number values that are no text by looking them up among those that came before."""
        rows = column.rename("value").to_frame()
        known = self.values.slice(FIRST).to_frame()
        new = rows.unique(maintain_order=True).drop_nulls().join(known, on="value", how="anti")
        known = pl.concat([known, new]).with_columns(
            pl.int_range(FIRST, FIRST + known.height + new.height, dtype=pl.UInt32).alias("code")
        )
        return rows.join(known, on="value", how="left", maintain_order="left")["code"]

    def _remember(self, column: pl.Series, codes: Codes) -> None:
        """Note what the codes mean that were not there before."""
        highest, known = int(codes.max(initial=0)), len(self.values)
        if highest < known:
            return
        place = np.zeros(highest + 1 - known, dtype=np.int64)
        new = np.flatnonzero(codes >= known)
        place[codes[new] - known] = new
        self.values = pl.concat([self.values, column.gather(place).rename("value")])
        if self.values.n_chunks() > _MOST_CHUNKS:
            self.values = self.values.rechunk()  # of many small pieces few things are quick
