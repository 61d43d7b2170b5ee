"""Ids: external ids by row, and rows by the text of an id."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cigf.data.ids import IdMap
from cigf.errors import UnknownIdError


class Ids:
    """External ids by row, and rows by the text of an id.

    Args:
        ids: The ids of a model.
    """

    def __init__(self, ids: IdMap) -> None:
        self._entity = ids.entity
        self._external = ids.ids.to_list()
        self._rows = {str(external): row for row, external in enumerate(self._external)}

    def __len__(self) -> int:
        return len(self._external)

    def row(self, text: str) -> int | None:
        """Return the row of an id, if it has one."""
        return self._rows.get(text)

    def rows(self, texts: Iterable[str]) -> NDArray[np.int64]:
        """Return the sorted rows of those ids that are known, each once."""
        found = {row for text in texts if (row := self._rows.get(text)) is not None}
        return np.fromiter(sorted(found), dtype=np.int64, count=len(found))

    def known(self, text: str) -> int:
        """Return the row of an id.

        Raises:
            UnknownIdError: It has none.
        """
        row = self._rows.get(text)
        if row is None:
            raise UnknownIdError(f"this {self._entity} is not in the model ({len(self):,} are)")
        return row

    def external(self, rows: Iterable[int]) -> list[Any]:
        """Return the ids of rows."""
        return [self._external[row] for row in rows]
