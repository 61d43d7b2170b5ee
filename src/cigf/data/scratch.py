"""Rows that wait on the disk, in a file without a name that vanishes with the process."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from cigf.data import limits
from cigf.storage import explain_os_errors

Columns = tuple[NDArray[Any], ...]


class Scratch:
    """A file for arrays that would be too much for memory.

    Args:
        folder: Where; None: where the system keeps temporary files.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
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

    def close(self) -> None:
        """Give the space back; what was written is gone."""
        if self._file is not None:
            self._file.close()
            self._file = None


class RowStore:
    """Blocks of rows in the order in which they came: in memory while few, else in a scratch file.

    Args:
        scratch: The file; several stores may share it.
        memory_rows: So many rows at most are held in memory.
    """

    def __init__(self, scratch: Scratch, memory_rows: int | None = None) -> None:
        self._scratch = scratch
        self._most = limits.MEMORY_ROWS if memory_rows is None else memory_rows
        self._held: list[Columns] = []
        self._written: list[tuple[int, list[tuple[int, np.dtype[Any]]]]] = []
        self.n_rows = 0

    def append(self, *columns: NDArray[Any]) -> None:
        """Add a block; the number of columns and their types are always the same."""
        self._held.append(columns)
        self.n_rows += len(columns[0])
        if self.n_rows > self._most:
            for block in self._held:
                places = [(self._scratch.write(column), column.dtype) for column in block]
                self._written.append((len(block[0]), places))
            self._held.clear()

    def blocks(self) -> Iterator[Columns]:
        """Yield the blocks, as often as wanted."""
        for count, places in self._written:
            yield tuple(self._scratch.read(start, count, dtype) for start, dtype in places)
        yield from self._held

    def whole(self) -> Columns:
        """Return all rows, of which there must be some, as one block."""
        return tuple(np.concatenate(column) for column in zip(*self.blocks(), strict=True))
