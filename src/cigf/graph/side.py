"""One direction of all behaviors' graphs, for all nodes or for some, in the form each device wants.

Axes: B behaviors; "rows" are the receiving nodes and "columns" the sending ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cigf.graph.gather_sum import Edges
from cigf.graph.gpu_edges import GPUEdges
from cigf.graph.stack import Bundle, Stack

_FEW = 1 / 32
"""Share of the edges below which adding row by row takes less time than finding their senders."""


@dataclass(frozen=True)
class Side:
    """One direction of all behaviors, with the normalization's two scales.

    Args:
        complete: Per behavior, who receives from whom.
        reverse: The same by sender, or None where it is not known.
        receive: Scale of each receiving row per behavior, (rows, B); 0 for rows without edges.
        send: Scale of each sending column per behavior, (columns, B), or None where all are 1.
        rows: The rows of `complete` that receive, in that order; all when None.
        columns: The columns that send, in that order, the others being no row's; all when None.
        halves: Whether sums read half-precision rows, in compiled kernels.
    """

    complete: Bundle
    reverse: Bundle | None
    receive: Tensor
    send: Tensor | None
    rows: Tensor | None = None
    columns: Tensor | None = None
    halves: bool = False

    @property
    def n_columns(self) -> int:
        """Number of senders."""
        return self.complete[0].n_columns if self.columns is None else len(self.columns)

    @cached_property
    def _position(self) -> Int[Tensor, "_columns"] | None:
        """Each column's number among those that send."""
        if self.columns is None:
            return None
        return positions(self.columns, self.complete[0].n_columns)

    @cached_property
    def edges(self) -> Sequence[Edges]:
        """Per behavior, the receiving rows' edges."""
        if self.rows is None:
            return self.complete
        chosen = [edges.select(self.rows) for edges in self.complete]
        if self._position is None:
            return chosen
        return [edges.renumber(self._position, self.n_columns) for edges in chosen]

    @property
    def transposed(self) -> Sequence[Edges | None]:
        """The same by sender, or None for a selection of rows."""
        if self.reverse is None or self.rows is not None:
            return [None] * len(self.complete)
        return self.reverse

    @cached_property
    def stack(self) -> Stack:
        """`edges` for compiled kernels."""
        complete = self.complete.stack
        if self.rows is None:
            return complete
        position = None if self._position is None else self._position.numpy()
        return complete.select(self.rows.numpy(), position)

    @cached_property
    def back(self) -> Stack | None:
        """The edges by sender for compiled kernels; None for few, to be walked over by row."""
        if self.reverse is None or self.rows is None:
            return None if self.reverse is None else self.reverse.stack
        if self.columns is not None or len(self.stack.indices) < _FEW * len(
            self.complete.stack.indices
        ):
            return None
        return self.reverse.stack.keep(positions(self.rows, self.complete[0].n_rows).numpy())

    @cached_property
    def on_gpu(self) -> GPUEdges:
        """`edges` for kernels on a GPU."""
        complete = self.complete.on_gpu
        return complete if self.rows is None else complete.select(self.rows, self._position)

    @cached_property
    def back_on_gpu(self) -> GPUEdges:
        """The edges by sender for kernels on a GPU."""
        reverse = self.reverse or Bundle([each.transpose() for each in self.complete])
        if self.rows is None:
            return reverse.on_gpu
        place = positions(self.rows, self.complete[0].n_rows)
        return reverse.on_gpu.select(self.columns, place)

    @cached_property
    def send_or_ones(self) -> Float[Tensor, "columns B"]:
        """`send`, also where all are 1."""
        if self.send is not None:
            return self.send
        return self.receive.new_ones(self.n_columns, len(self.complete))

    @cached_property
    def receive_by_chain(self) -> Float[Tensor, "rows 1 B B"]:
        """`receive` for every chain: written out, because broadcasting short axes is slow."""
        n_behaviors = self.receive.shape[1]
        return self.receive[:, None, None].expand(-1, 1, n_behaviors, -1).contiguous()


def positions(chosen: Int[Tensor, "_chosen"], n: int) -> Int[Tensor, "_n"]:
    """Return where each of n nodes stands among the chosen ones, int32; -1 for the others."""
    found = torch.full((n,), -1, dtype=torch.int32, device=chosen.device)
    found[chosen] = torch.arange(len(chosen), dtype=torch.int32, device=chosen.device)
    return found
