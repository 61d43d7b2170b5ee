"""gather-sum: the one operator that moves embeddings along edges.

`y[r] = sum of x[c] over the edges (r, c)`. The adjacency is binary, so no values are stored; its
transpose is kept beside it, so the gradient is the same operator on the transposed edges.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Edges:
    """One direction of one behavior's edges as CSR: rows receive, columns send.

    Args:
        offsets: Where each row's columns begin, shape (rows + 1,); same type as `indices`.
        indices: Column of each edge, shape (edges,), int32 (int64 for more than 2^31 edges).
        n_columns: Number of columns.
    """

    def __init__(
        self, offsets: Int[Tensor, "_rows_1"], indices: Int[Tensor, "_edges"], n_columns: int
    ) -> None:
        self.offsets = offsets
        self.indices = indices
        self.n_columns = n_columns

    @property
    def n_rows(self) -> int:
        """Number of receiving rows."""
        return len(self.offsets) - 1

    @property
    def degrees(self) -> Int[Tensor, "_rows"]:
        """Number of edges of each row."""
        return self.offsets.diff()

    def select(self, rows: Int[Tensor, "_selected"]) -> "Edges":
        """Return the edges of some rows, in their order."""
        starts = self.offsets[rows]
        degrees = self.offsets[rows + 1] - starts
        offsets = torch.zeros(len(rows) + 1, dtype=self.offsets.dtype, device=rows.device)
        torch.cumsum(degrees, 0, out=offsets[1:])
        shift = torch.repeat_interleave(starts - offsets[:-1], degrees)
        places = torch.arange(len(shift), dtype=shift.dtype, device=rows.device) + shift
        return Edges(offsets, self.indices[places], self.n_columns)


def gather_sum(
    edges: Edges, transposed: Edges | None, x: Float[Tensor, "columns F"]
) -> Float[Tensor, "rows F"]:
    """Sum the senders' vectors for every receiving row; a row without edges gets zeros.

    Args:
        edges: Who receives from whom.
        transposed: The same edges by sender, for the gradient. None suits a selection of few
            rows: the gradient is then scattered edge by edge.
        x: One vector per column.
    """
    out: Tensor = _GatherSum.apply(x, edges, transposed)  # type: ignore[no-untyped-call]
    return out


def gather(edges: Edges, x: Float[Tensor, "columns F"]) -> Float[Tensor, "rows F"]:
    """`gather_sum` outside of autograd: the kernel itself."""
    # Detached, because a tensor that asks for gradients takes a slower path even here.
    return torch.embedding_bag(
        x.detach(), edges.indices, edges.offsets, mode=0, include_last_offset=True
    )[0]


def scatter(
    edges: Edges, transposed: Edges | None, y: Float[Tensor, "rows F"]
) -> Float[Tensor, "columns F"]:
    """Send each row's vector back to all its columns: the transpose of `gather`."""
    if transposed is not None:
        return gather(transposed, y)
    per_edge = y.repeat_interleave(edges.degrees, dim=0)
    zeros = y.new_zeros(edges.n_columns, y.shape[1])
    return zeros.index_add_(0, edges.indices, per_edge)


class _GatherSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, edges: Edges, transposed: Edges | None) -> Tensor:
        ctx.edges, ctx.transposed = edges, transposed
        return gather(edges, x.contiguous())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return scatter(ctx.edges, ctx.transposed, gradients[0].contiguous()), None, None
