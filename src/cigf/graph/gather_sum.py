"""gather-sum: the one operator that moves embeddings along edges.

`y[r] = sum of x[c] over the edges (r, c)`. The adjacency is binary, so no values are stored; its
transpose is kept beside it, so the gradient is the same operator on the transposed edges.
"""

import warnings
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import csr_array
from torch import Tensor

from cigf import compiled
from cigf.graph.fastest import fastest

if TYPE_CHECKING:
    from cigf.graph.gpu_edges import GPUEdges


class Edges:
    """One direction of one behavior's edges as CSR: rows receive, columns send.

    Args:
        offsets: Where each row's columns begin, shape (rows + 1,); same type as `indices`.
        indices: Column of each edge, shape (edges,), int32 (int64 for more than 2^31 edges).
        n_columns: Number of columns.
        lasting: Whether they are used again and again, so that other forms of them pay.
    """

    def __init__(
        self,
        offsets: Int[Tensor, "_rows_1"],
        indices: Int[Tensor, "_edges"],
        n_columns: int,
        *,
        lasting: bool = False,
    ) -> None:
        self.offsets = offsets
        self.indices = indices
        self.n_columns = n_columns
        self.lasting = lasting

    @property
    def n_rows(self) -> int:
        """Number of receiving rows."""
        return len(self.offsets) - 1

    @property
    def degrees(self) -> Int[Tensor, "_rows"]:
        """Number of edges of each row."""
        return self.offsets.diff()

    @cached_property
    def on_gpu(self) -> "GPUEdges":
        """The same edges for kernels on a GPU."""
        from cigf.graph.gpu_edges import GPUEdges

        return GPUEdges.of([self])

    def renumber(self, position: Int[Tensor, "_columns"], n_columns: int) -> "Edges":
        """Return the same edges by new numbers of all their columns."""
        indices = position[self.indices].to(self.indices.dtype)
        return Edges(self.offsets, indices, n_columns)

    def select(self, rows: Int[Tensor, "_selected"]) -> "Edges":
        """Return the edges of some rows, in their order."""
        starts = self.offsets[rows]
        degrees = self.offsets[rows + 1] - starts
        offsets = torch.zeros(len(rows) + 1, dtype=self.offsets.dtype, device=rows.device)
        torch.cumsum(degrees, 0, out=offsets[1:])
        shift = torch.repeat_interleave(starts - offsets[:-1], degrees)
        places = torch.arange(len(shift), dtype=shift.dtype, device=rows.device) + shift
        return Edges(offsets, self.indices[places], self.n_columns)

    def transpose(self) -> "Edges":
        """Return the same edges by sender."""
        by_sort = self.indices.device.type != "cpu"
        return transpose_by_sort(self) if by_sort else transpose_by_counting(self)


def merge_edges(several: Sequence[Edges]) -> Edges:
    """Return the edges that any of several sets over the same nodes has, each once."""
    first = several[0]
    # In 64 bits, whatever the edges have: a key is as large as rows times columns.
    every = [torch.repeat_interleave(e.degrees.long()) * e.n_columns + e.indices for e in several]
    keys = torch.unique(torch.cat(every))
    rows, columns = keys // first.n_columns, keys % first.n_columns
    counts = torch.bincount(rows, minlength=first.n_rows)
    offsets = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
    kind = first.indices.dtype if len(keys) < 2**31 else torch.int64
    return Edges(offsets.to(kind), columns.to(kind), first.n_columns, lasting=True)


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate tensors; without a copy where they are neighbors in one storage."""
    first = parts[0]
    place = first.data_ptr()
    for part in parts:
        if (
            part.data_ptr() != place
            or part.dtype != first.dtype
            or part.untyped_storage().data_ptr() != first.untyped_storage().data_ptr()
        ):
            return torch.cat(list(parts))
        place += len(part) * part.element_size()
    return first.as_strided((sum(map(len, parts)),), (1,))


def transpose_by_counting(edges: Edges) -> Edges:
    """Transpose on the CPU: SciPy's counting sort takes linear time."""
    values = np.empty(len(edges.indices), np.int8)
    parts = (values, edges.indices.numpy(), edges.offsets.numpy())
    flipped = csr_array(parts, shape=(edges.n_rows, edges.n_columns)).tocsc()
    offsets, indices = (
        torch.from_numpy(part).to(edges.indices.dtype) for part in (flipped.indptr, flipped.indices)
    )
    return Edges(offsets, indices, edges.n_rows)


def transpose_by_sort(edges: Edges) -> Edges:
    """Transpose on any device: a stable sort of the columns. A GPU is not waited for."""
    columns, order = torch.sort(edges.indices, stable=True)
    rows = torch.repeat_interleave(edges.degrees, output_size=len(order))
    borders = torch.arange(edges.n_columns + 1, dtype=columns.dtype, device=columns.device)
    offsets = torch.searchsorted(columns, borders).to(edges.offsets.dtype)
    return Edges(offsets, rows[order].to(edges.indices.dtype), edges.n_rows)


def gather_sum(
    edges: Edges, transposed: Edges | None, x: Float[Tensor, "columns F"]
) -> Float[Tensor, "rows F"]:
    """Sum the senders' vectors for every receiving row; a row without edges gets zeros.

    Args:
        edges: Who receives from whom.
        transposed: The same edges by sender, for the gradient; None transposes when needed, which
            suits a selection of few rows.
        x: One vector per column.
    """
    out: Tensor = _GatherSum.apply(x, edges, transposed)  # type: ignore[no-untyped-call]
    return out


def gather(edges: Edges, x: Float[Tensor, "columns F"]) -> Float[Tensor, "rows F"]:
    """`gather_sum` outside of autograd: the kernel itself, by the device's fastest way."""
    # Detached, because a tensor that asks for gradients takes a slower path even here.
    x = x.detach()
    ways = _ways(x) if edges.lasting else {}
    if len(ways) <= 1 or not len(edges.indices):
        return gather_by_bag(edges, x)
    sizes = edges.n_rows, len(edges.indices), x.shape[1]
    trials = {name: partial(way, edges, x) for name, way in ways.items()}
    return ways[fastest("gather-sum", sizes, trials, x.device)](edges, x)


def _ways(x: Tensor) -> dict[str, Callable[[Edges, Tensor], Tensor]]:
    """Return the ways to sum on a tensor's device, the one that is to be preferred first."""
    ways: dict[str, Callable[[Edges, Tensor], Tensor]] = {}
    if compiled.usable_on_gpu(x):
        ways["kernel"] = gather_by_kernel
    ways["embedding_bag"] = gather_by_bag
    if x.is_cuda:
        ways["CSR product"] = gather_by_product
    return ways


def gather_by_bag(edges: Edges, x: Float[Tensor, "columns F"]) -> Float[Tensor, "rows F"]:
    """`gather` by PyTorch's `embedding_bag`."""
    return torch.embedding_bag(x, edges.indices, edges.offsets, mode=0, include_last_offset=True)[0]


def gather_by_product(edges: Edges, x: Float[Tensor, "columns F"]) -> Float[Tensor, "rows F"]:
    """`gather` as the product of a sparse matrix of ones and a dense one."""
    shape, ones = (edges.n_rows, edges.n_columns), x.new_ones(len(edges.indices))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        # PyTorch 2.11 says so of the first sparse tensor, whatever it is told.
        warnings.filterwarnings("ignore", "Sparse invariant checks are implicitly disabled")
        matrix = torch.sparse_csr_tensor(
            edges.offsets, edges.indices, ones, shape, check_invariants=False
        )
    return matrix @ x


def gather_by_kernel(edges: Edges, x: Float[Tensor, "columns F"]) -> Float[Tensor, "rows F"]:
    """`gather` by the kernel of `gpu_kernels`."""
    from cigf.graph import gpu_sums  # needs triton

    return gpu_sums.gather_total(edges.on_gpu, x[None], x.new_ones(edges.n_rows, 1))


def scatter(
    edges: Edges, transposed: Edges | None, y: Float[Tensor, "rows F"]
) -> Float[Tensor, "columns F"]:
    """Send each row's vector back to all its columns: the transpose of `gather`."""
    return gather(transposed or edges.transpose(), y)


class _GatherSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, edges: Edges, transposed: Edges | None) -> Tensor:
        ctx.edges, ctx.transposed = edges, transposed
        return gather(edges, x.contiguous())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return scatter(ctx.edges, ctx.transposed, gradients[0].contiguous()), None, None
