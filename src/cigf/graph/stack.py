"""The edges of all behaviors in one direction, also as the arrays that compiled kernels walk over.

Axes: B behaviors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cigf.compiled import n_threads, run, split
from cigf.graph.gather_sum import Edges, joined
from cigf.graph.gpu_edges import GPUEdges

Positions = NDArray[np.int32]
"""Where each of some nodes stands among those that are chosen; -1 for the others."""


@dataclass(frozen=True)
class Stack:
    """Edges of several behaviors over the same rows and columns; NumPy, so on the CPU.

    Args:
        starts: Where each row's columns begin in `indices`, (B, rows).
        stops: Where they end, (B, rows).
        indices: Columns of the edges of all behaviors.
    """

    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    indices: NDArray[np.integer[Any]]

    @classmethod
    def of(cls, several: Sequence[Edges]) -> "Stack":
        """Put edges side by side; nothing is copied where they already lie so in memory."""
        indices = joined([edges.indices for edges in several]).numpy()
        counts = [len(edges.indices) for edges in several]
        shifts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        offsets = np.stack([edges.offsets.numpy() for edges in several]) + shifts[:, None]
        return cls(offsets[:, :-1].copy(), offsets[:, 1:].copy(), indices)

    @property
    def n_rows(self) -> int:
        """Number of receiving rows."""
        return int(self.starts.shape[1])

    def select(self, rows: NDArray[np.int64], position: Positions | None = None) -> "Stack":
        """Return the edges of some rows, in their order.

        Args:
            rows: The rows.
            position: The columns' new numbers; None keeps them.
        """
        from cigf.graph.edge_kernels import copy_rows  # needs numba

        starts, stops = (np.take(part, rows, axis=1) for part in (self.starts, self.stops))
        ends = np.cumsum((stops - starts).ravel()).reshape(starts.shape)
        begins = ends - (stops - starts)
        indices = np.empty(ends[-1, -1] if ends.size else 0, self.indices.dtype)
        position = np.empty(0, np.int32) if position is None else position
        found = Stack(begins, ends, indices)
        run(copy_rows, found.borders, starts, stops, self.indices, position, begins, indices)
        return found

    def keep(self, position: Positions) -> "Stack":
        """Return the edges to some columns, by the columns' new numbers.

        Args:
            position: The new number of each column, -1 for those without edges any more.
        """
        from cigf.graph.edge_kernels import keep_edges  # needs numba

        starts, stops = np.empty_like(self.starts), np.empty_like(self.stops)
        indices = np.empty_like(self.indices)
        given = (self.starts, self.stops, self.indices, position)
        run(keep_edges, self.borders, *given, starts, stops, indices)
        return Stack(starts, stops, indices)

    @property
    def borders(self) -> NDArray[np.int64]:
        """Borders of parts of the rows with about as many edges each, for `compiled.run`."""
        threads = n_threads()
        if threads not in self._borders:
            per_row = (self.stops - self.starts).sum(0) + len(self.starts)
            self._borders[threads] = split(per_row)
        return self._borders[threads]

    @cached_property
    def _borders(self) -> dict[int, NDArray[np.int64]]:
        return {}


class Bundle(tuple[Edges, ...]):
    """Edges of all behaviors in one direction."""

    @cached_property
    def stack(self) -> Stack:
        """The same edges for compiled kernels; made once."""
        return Stack.of(self)

    @cached_property
    def on_gpu(self) -> GPUEdges:
        """The same edges for kernels on a GPU; made once."""
        return GPUEdges.of(self)
