"""Ids by the numbers that a `Coder` gave them: cleaned once each, and shared by all sources."""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cigf.data.coding import FIRST, Coder
from cigf.data.id_columns import clean_ids
from cigf.data.read_log import ReadLog


class IdCodes:
    """The users, or the items, of the sources whose ids are of one type.

    Args:
        dtype: That type.

    Attributes:
        coder: Numbers the ids as they stand in the sources.
        missing: Which codes stand for a missing id, if rows of the last source do; else None.
        n_rows: How many rows that count each code has.
    """

    def __init__(self, dtype: Any) -> None:
        self.coder = Coder(dtype)
        self.missing: NDArray[np.bool_] | None = None
        self.n_rows = np.zeros(FIRST, dtype=np.int64)
        self._before = self.coder.counts
        self._codes: list[NDArray[np.int64]] = []
        self._ids: list[pl.Series] = []
        self._done = np.zeros(FIRST, dtype=bool)

    def begin(self) -> None:
        """Begin with another source."""
        self._before = self.coder.counts

    def clean(self, column: str, source: str, log: ReadLog) -> None:
        """Find out what the ids of the source mean that was just read; see `clean_ids`."""
        counts = self.coder.counts.copy()
        counts[: len(self._before)] -= self._before
        present = np.flatnonzero(counts[FIRST:]) + FIRST
        ids = clean_ids(
            self.coder.values.gather(present), column, source, log, pl.Series(counts[present])
        )
        n_codes = len(self.coder.values)
        self._done, self.n_rows = (
            np.concatenate([old, np.zeros(n_codes - len(old), dtype=old.dtype)])
            for old in (self._done, self.n_rows)
        )
        new = ~self._done[present]
        self._codes.append(present[new])
        self._ids.append(ids.filter(pl.Series(new)))
        self._done[present] = True
        self.missing = None
        if ids.null_count() or counts[:FIRST].any():
            self.missing = np.ones(n_codes, dtype=bool)
            self.missing[present] = ids.is_null().to_numpy()

    def count(self, codes: NDArray[np.integer[Any]]) -> None:
        """Count rows that are used."""
        self.n_rows += np.bincount(codes, minlength=len(self.n_rows))

    def used(self) -> tuple[NDArray[np.int64], pl.Series]:
        """Return the codes that have a row, and their ids."""
        codes, ids = np.concatenate(self._codes), pl.concat(self._ids)
        kept = self.n_rows[codes] > 0
        return codes[kept], ids.filter(pl.Series(kept))


class KnownIds:
    """The ids of all sources."""

    def __init__(self) -> None:
        self._shared: dict[tuple[str, Any], IdCodes] = {}

    def begin(self, name: str, dtype: Any) -> IdCodes:
        """Return what codes the ids of another source.

        Args:
            name: The standard column, user_id or item_id.
            dtype: The type of the ids there.
        """
        if dtype not in (pl.String, pl.Int64):
            return IdCodes(dtype)  # what it means is told by all ids of one source together
        ids = self._shared.setdefault((name, dtype), IdCodes(dtype))
        ids.begin()
        return ids
