"""External ids (strings or integers) and the row numbers that stand for them inside."""

from collections.abc import Sequence
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cigf.errors import DataError, UnknownIdError

UNKNOWN = -1
"""Row number that `IdMap.find` gives for an id it does not hold."""


_FEW = 64
"""So many ids at most are looked up one by one, which then is quicker than a join."""


class IdMap:
    """A frozen two-way map between external ids and rows 0..n-1.

    Args:
        ids: The external ids in row order: unique, without nulls, integers or strings.
        entity: What they are ids of, for messages: "user" or "item".

    Raises:
        DataError: An id is null or stands twice.
    """

    def __init__(self, ids: pl.Series, entity: str) -> None:
        if ids.null_count():
            raise DataError(f"{entity} ids: {ids.null_count()} are missing")
        if ids.n_unique() != len(ids):
            raise DataError(f"{entity} ids: {len(ids) - ids.n_unique()} stand more than once")
        self._ids = ids
        self.entity = entity

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def ids(self) -> pl.Series:
        """All external ids in row order."""
        return self._ids

    @cached_property
    def _rows(self) -> dict[Any, int]:
        return {external: row for row, external in enumerate(self._ids.to_list())}

    def find(self, ids: pl.Series | Sequence[Any]) -> NDArray[np.int64]:
        """Return the row of each external id, `UNKNOWN` (-1) where it has none.

        An id matches by value after conversion to the map's type, so "17" finds 17.
        """
        wanted = ids if isinstance(ids, pl.Series) else pl.Series("id", list(ids), strict=False)
        if wanted.dtype.is_float():
            wanted = wanted.set(wanted != wanted.floor(), None)  # 17.5 is not 17
            wanted = wanted.cast(pl.Int64, strict=False)
        cast = wanted.cast(self._ids.dtype, strict=False)
        if len(cast) <= _FEW:
            rows = [self._rows.get(external, UNKNOWN) for external in cast.to_list()]
            return np.array(rows, dtype=np.int64)
        known = pl.DataFrame({"id": self._ids, "row": np.arange(len(self), dtype=np.int64)})
        joined = pl.DataFrame({"id": cast}).join(known, on="id", how="left", maintain_order="left")
        return joined["row"].fill_null(UNKNOWN).to_numpy()

    def row(self, external: Any) -> int:
        """Return the row of one external id.

        Raises:
            UnknownIdError: The id is not in the map.
        """
        found = self._rows.get(external)
        if found is None:
            found = int(self.find([external])[0])
        if found == UNKNOWN:
            raise UnknownIdError(f"{self.entity} {external!r} is not known ({len(self)} are)")
        return found

    def external(self, rows: NDArray[np.integer[Any]]) -> pl.Series:
        """Return the external ids of rows, in their order."""
        return self._ids.gather(pl.Series(np.asarray(rows, dtype=np.int64)))

    def save(self, path: Path, column: str) -> None:
        """Write the ids as an Arrow file of one column: the same ids give the same bytes.

        Polars' own layout of strings would show where they once stood in a log.

        Raises:
            OSError: It cannot be written.
        """
        buffer = BytesIO()  # Python's own files say that a disk is full; Polars hides the reason
        frame = pl.DataFrame({column: self._ids}).rechunk()
        frame.write_ipc(buffer, compression="uncompressed", compat_level=pl.CompatLevel.oldest())
        path.write_bytes(buffer.getbuffer())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IdMap) and self._ids.equals(other._ids)

    def __hash__(self) -> int:
        return hash((len(self), self.entity))
