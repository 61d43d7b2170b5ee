"""The edges of all behaviors in one direction, as kernels on a GPU walk over them.

Nothing is copied or sorted for a selection of nodes: rows are chosen by where their edges begin and
end, and columns are looked up in a table of their new numbers on the way.

Axes: B behaviors.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int, Integer
from torch import Tensor

from cigf.graph.gather_sum import Edges, joined

PIECE = 1024
"""Edges of a row that one program adds up; longer rows are cut into pieces of so many.

A program has a few rows of the table under way at a time, so the longest row of a power law, alone
with one program, would take longer than all the others together.
"""


@dataclass(frozen=True)
class Pieces:
    """Where the long rows are cut.

    Args:
        size: Edges of a piece, the last of a row excepted.
        first: Of each row under each behavior, the number of its first piece, the others following;
            -1 for rows that are not cut; (B, rows).
        behaviors: Of each piece, (pieces,).
        rows: Of each piece, its row among those of the complete edges, (pieces,).
        starts: Where its columns begin in `GPUEdges.indices`, (pieces,).
        stops: Where they end.
        wanted: Whether its row is among the chosen ones, (pieces,); None where all are.
    """

    size: int
    first: Int[Tensor, "B rows"]
    behaviors: Int[Tensor, "pieces"]
    rows: Int[Tensor, "pieces"]
    starts: Integer[Tensor, "pieces"]
    stops: Integer[Tensor, "pieces"]
    wanted: Int[Tensor, "pieces"] | None = None

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class GPUEdges:
    """Edges of several behaviors over the same rows and columns.

    Args:
        starts: Where each row's columns begin in `indices`, (B, rows).
        stops: Where they end, (B, rows).
        indices: Columns of the edges of all behaviors.
        pieces: Of the long rows.
        position: The columns' places in the tables that are read, -1 for columns that send nothing;
            None where a column's place is its number.
    """

    starts: Integer[Tensor, "B rows"]
    stops: Integer[Tensor, "B rows"]
    indices: Integer[Tensor, "_edges"]
    pieces: Pieces
    position: Int[Tensor, "_columns"] | None = None

    @classmethod
    def of(cls, several: Sequence[Edges]) -> "GPUEdges":
        """Put edges side by side; they are not copied where they already lie so in memory."""
        indices = joined([edges.indices for edges in several])
        kind = torch.int32 if len(indices) < 2**31 else torch.int64
        ends, shift = [], 0
        for edges in several:
            ends.append(edges.offsets.long() + shift)
            shift += len(edges.indices)
        offsets = torch.stack(ends).to(kind)
        starts, stops = offsets[:, :-1].contiguous(), offsets[:, 1:].contiguous()
        return cls(starts, stops, indices, _cut(starts, stops))

    @property
    def n_rows(self) -> int:
        """Number of receiving rows."""
        return self.starts.shape[1]

    def select(
        self, rows: Int[Tensor, "_rows"] | None, position: Int[Tensor, "_columns"] | None
    ) -> "GPUEdges":
        """Return the edges of some rows, in their order, between some columns.

        Args:
            rows: The rows; all when None.
            position: See `GPUEdges`.
        """
        if rows is None:
            return replace(self, position=position)
        chosen = self.pieces.rows.new_zeros(self.n_rows)
        chosen[rows] = 1
        pieces = replace(
            self.pieces, first=self.pieces.first[:, rows], wanted=chosen[self.pieces.rows.long()]
        )
        return GPUEdges(self.starts[:, rows], self.stops[:, rows], self.indices, pieces, position)


def _cut(starts: Integer[Tensor, "B rows"], stops: Integer[Tensor, "B rows"]) -> Pieces:
    """Cut the rows that are longer than a piece."""
    n_rows = starts.shape[1]
    degrees = (stops - starts).flatten().long()
    counts = torch.where(degrees > PIECE, -(-degrees // PIECE), 0)
    first = torch.where(counts > 0, counts.cumsum(0) - counts, -1)
    place = torch.repeat_interleave(counts)  # of each piece's row and behavior
    number = torch.arange(len(place), device=place.device) - first[place]
    begins = starts.flatten()[place] + number * PIECE
    return Pieces(
        PIECE,
        first.view(-1, n_rows).int(),
        (place // n_rows).int(),
        (place % n_rows).int(),
        begins.to(starts.dtype),
        torch.minimum(begins + PIECE, stops.flatten()[place]).to(starts.dtype),
    )
