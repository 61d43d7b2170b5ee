"""Rows that wait on the disk, in a file without a name that vanishes with the process."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from cigf.data import limits
from cigf.storage import explain_os_errors

Columns = tuple[NDArray[Any], ...]


class Scratch:
    """A file for rows that would be too much for memory.

    Args:
        folder: Where; None: where the system keeps temporary files.
        memory_rows: So many rows at most are held in memory instead, of all stores together.
    """

    def __init__(self, folder: Path | None = None, memory_rows: int | None = None) -> None:
        self._folder = folder
        self._free = limits.MEMORY_ROWS if memory_rows is None else memory_rows
        self._file: BinaryIO | None = None
        self._end = 0

    def write(self, array: NDArray[Any]) -> int:
        """Append an array and return where it begins.

        Raises:
            OutputError: The disk is full, or nothing may be written there.
        """
        where = self._folder or Path(tempfile.gettempdir())
        with explain_os_errors(where):
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=where, buffering=0)  # noqa: SIM115
            start = self._end
            self._file.seek(start)
            view = np.ascontiguousarray(array).data.cast("B")
            while len(view):
                view = view[self._file.write(view) :]
            self._end += array.nbytes
        return start

    def read(self, start: int, count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return `count` values from where `write` put them."""
        assert self._file is not None
        self._file.seek(start)
        return np.fromfile(self._file, dtype=dtype, count=count)

    def hold(self, n_rows: int) -> bool:
        """Tell whether so many rows more may be held in memory, and count them."""
        held = n_rows <= self._free
        self._free -= n_rows if held else 0
        return held

    def close(self) -> None:
        """Give the space back; what was written is gone."""
        if self._file is not None:
            self._file.close()
            self._file = None


@dataclass(frozen=True)
class _Written:
    """Where the columns of a block are in the scratch file, and their types."""

    n_rows: int
    places: list[tuple[int, np.dtype[Any]]]


class RowStore:
    """Blocks of rows in the order in which they came: in memory while few, else in a scratch file.

    Args:
        scratch: The file; several stores may share it.
    """

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._blocks: list[Columns | _Written] = []
        self.n_rows = 0

    def append(self, *columns: NDArray[Any]) -> None:
        """Add a block; the number of columns and their types are always the same."""
        n_rows = len(columns[0])
        self.n_rows += n_rows
        if self._scratch.hold(n_rows):
            self._blocks.append(columns)
        else:
            places = [(self._scratch.write(column), column.dtype) for column in columns]
            self._blocks.append(_Written(n_rows, places))

    def blocks(self) -> Iterator[Columns]:
        """Yield the blocks, as often as wanted."""
        for block in self._blocks:
            if isinstance(block, _Written):
                yield tuple(
                    self._scratch.read(start, block.n_rows, dtype) for start, dtype in block.places
                )
            else:
                yield block

    def whole(self) -> Columns:
        """Return all rows, of which there must be some, as one block."""
        return tuple(np.concatenate(column) for column in zip(*self.blocks(), strict=True))
