"""A rank's propagation, and its way back: what all receivers send, gathered by the senders.

A rank's senders are its receivers of the other direction, and have the same edges. So instead of
sending its rows' gradients to all columns and adding up over the ranks, each rank reads what all
rows send, and sums along its own edges. It is written into memory that ranks share, by each for
its own rows; where they share none, each gathers all rows' gradients and the weights that they
were mixed by, which is less, and computes it of them.

Axes: B behaviors, H heads, C chains, D size; "rows" are all ranks' receivers, "columns" a rank's
own senders.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cigf import compiled
from cigf.distributed.exchange import Ranks
from cigf.distributed.selection import Selection, padded
from cigf.graph import fused
from cigf.graph.gather_sum import gather
from cigf.graph.gpu_edges import GPUEdges
from cigf.graph.propagation import mix_side, own_side
from cigf.graph.side import Side
from cigf.graph.stack import Bundle, Stack


@dataclass(frozen=True)
class Receivers:
    """A rank's senders, on the way back.

    Args:
        edges: Per behavior, the columns' edges from all rows.
        rows: Scale of each row per behavior, (rows, B).
        columns: Scale of each column per behavior, (columns, B), or None where all are 1.
        chosen: Which of the rows of `edges` there are, the others sending nothing; all when None.
            `rows` are then the scales of its table's rows.
    """

    edges: Bundle
    rows: Tensor
    columns: Tensor | None
    chosen: Selection | None = None

    @cached_property
    def columns_or_ones(self) -> Float[Tensor, "columns B"]:
        """`columns`, also where all are 1."""
        if self.columns is not None:
            return self.columns
        return self.rows.new_ones(self.edges[0].n_rows, len(self.edges))

    def total(self, sent: Float[Tensor, "B rows F"]) -> Float[Tensor, "columns F"]:
        """Sum what all rows send under all behaviors."""
        kernels = self._kernels(sent)
        if kernels is None:
            return self.each(sent).sum(1)
        sums, edges = kernels
        found: Tensor = sums.gather_total(edges, sent, self.columns_or_ones)
        return found

    def each(self, sent: Float[Tensor, "B rows F"]) -> Float[Tensor, "columns B F"]:
        """Sum what all rows send under each behavior."""
        kernels = self._kernels(sent)
        if kernels is not None:
            sums, edges = kernels
            found: Tensor = sums.gather_each(edges, sent, self.columns_or_ones)
            return found
        if self.chosen is not None:
            some, shape = sent, (len(sent), self.edges[0].n_columns, sent.shape[2])
            sent = sent.new_zeros(shape).index_copy_(1, self.chosen.columns, some)
        sums = [gather(edges, x) for edges, x in zip(self.edges, sent, strict=True)]
        return torch.stack(sums, 1) * self.columns_or_ones[:, :, None]

    def _kernels(self, sent: Tensor) -> tuple[Any, Any] | None:
        """The kernels for the device, and the edges in their form; None where there are none."""
        if compiled.usable(sent):
            from cigf.graph import cpu_sums  # needs numba

            return cpu_sums, self._stack
        if compiled.usable_on_gpu(sent):
            from cigf.graph import gpu_sums  # needs triton

            return gpu_sums, self._on_gpu
        return None

    @cached_property
    def _on_gpu(self) -> GPUEdges:
        position = None if self.chosen is None else self.chosen.position
        return self.edges.on_gpu.select(None, position)

    @cached_property
    def _stack(self) -> Stack:
        if self.chosen is None:
            return self.edges.stack
        return self.edges.stack.keep(self.chosen.position.numpy())


@dataclass(frozen=True)
class Way:
    """One direction of a rank's propagation, and its way back.

    Args:
        side: From all ranks' nodes to own ones.
        back: From all ranks' receivers to own senders.
    """

    side: Side
    back: Receivers


def send(
    ranks: Ranks,
    ways: Sequence[Way],
    senders: Sequence[Tensor],
    tables: Sequence[Tensor],
    weights: Sequence[Tensor] | None,
) -> list[Tensor]:
    """Propagate in some directions; see `propagation.mix_side` and `propagation.own_side`.

    Args:
        ranks: The ranks.
        ways: The directions.
        senders: For each, the own senders' chains, (columns, C, B, D), or (columns, C, 1, D) for
            all behaviors.
        tables: Those of all ranks' senders, which need no gradient.
        weights: The receivers' attention, (own rows, H, B, B); None: each behavior's chains go
            along its own edges.

    Returns:
        The own receivers' chains, whose gradients find their way back to the senders.
    """
    learns = torch.is_grad_enabled() and any(each.requires_grad for each in senders)
    if learns and ranks.shares_memory and compiled.usable(*tables):
        given: list[Any] = [None] * len(ways) if weights is None else list(weights)
        arguments = zip(ways, tables, senders, given, strict=True)
        return [_SideBySide.apply(ranks, *each) for each in arguments]  # type: ignore[no-untyped-call]
    known: Sequence[Tensor | None] = [None] * len(ways)
    if weights is None:
        received = [own_side(way.side, x) for way, x in zip(ways, tables, strict=True)]
    else:
        mixes = zip(ways, tables, weights, strict=True)
        received = [mix_side(way.side, x, each) for way, x, each in mixes]
        known = [each.detach() for each in weights]
    backs = [way.back for way in ways]
    out = _SentBack.apply(ranks, backs, known, *senders, *received)  # type: ignore[no-untyped-call]
    return list(out)


class _SideBySide(torch.autograd.Function):
    """One direction between ranks that share memory, by kernels for the CPU.

    What rows send back is computed by their own rank, where all read it. It is as many times as
    large as their gradients as there are behaviors: too much to be sent to other machines.
    """

    @staticmethod
    def forward(
        ctx: Any, ranks: Ranks, way: Way, table: Tensor, own: Tensor, weights: Tensor | None
    ) -> Tensor:
        from cigf.graph import cpu_sums  # needs numba

        ctx.ranks, ctx.way, ctx.shape = ranks, way, own.shape
        if weights is None:
            return fused.sent_by_own(way.side, table, cpu_sums)
        weights = weights.contiguous()
        gathered, out = fused.mixed(way.side, table, weights, cpu_sums)
        ctx.save_for_backward(weights, gathered)
        return out.flatten(1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        from cigf.graph import cpu_sums  # needs numba

        side, back, shape = ctx.way.side, ctx.way.back, ctx.shape
        gradient = gradients[0].contiguous()
        n_rows, n_behaviors = len(back.rows) // ctx.ranks.size, gradient.shape[2]
        width = shape[1] * shape[3] * (n_behaviors if ctx.saved_tensors else 1)
        with ctx.ranks.side_by_side(n_behaviors, n_rows, width) as room:
            room.table[:, room.first + len(gradient) : room.first + n_rows] = 0.0  # fillings
            if ctx.saved_tensors:
                weights, gathered = ctx.saved_tensors
                gradient = gradient.view(*weights.shape[:2], *shape[1:])
                learned, *_ = cpu_sums.mix_backward(side, gradient, weights, gathered, room=room)
            else:
                cpu_sums.to_send(side, gradient, room)
        if not ctx.saved_tensors:
            return None, None, None, _own_total(back, room.table, shape), None
        return None, None, None, back.total(room.table).view(shape), learned


class _SentBack(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        ranks: Ranks,
        backs: Sequence[Receivers],
        weights: Sequence[Tensor | None],
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        senders, received = tensors[: len(backs)], tensors[len(backs) :]
        ctx.ranks, ctx.backs, ctx.weights = ranks, backs, weights
        ctx.shapes = [each.shape for each in senders]
        return tuple(each.view_as(each) for each in received)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        given = [each.contiguous() for each in gradients]
        sent = [padded(x, back.chosen) for back, x in zip(ctx.backs, given, strict=True)]
        mixed = [
            padded(each, back.chosen)
            for back, each in zip(ctx.backs, ctx.weights, strict=True)
            if each is not None
        ]
        tables = ctx.ranks.gather(*sent, *mixed)
        found = []
        for place, (back, shape) in enumerate(zip(ctx.backs, ctx.shapes, strict=True)):
            if mixed:
                x = _mixed_back(back, tables[place], tables[len(given) + place], shape)
            else:
                x = _own_back(back, tables[place], shape)
            found.append(x)
        return None, None, None, *found, *given


def _own_back(back: Receivers, gradient: Tensor, shape: torch.Size) -> Tensor:
    """Gradient of `own`: each behavior's rows (rows, C, B, D) along that behavior's edges."""
    sent = gradient.permute(2, 0, 1, 3) * back.rows.t()[:, :, None, None]
    return _own_total(back, sent.flatten(2), shape)


def _own_total(back: Receivers, sent: Tensor, shape: torch.Size) -> Tensor:
    columns, chains, n_tables, size = shape
    if n_tables == 1:  # all behaviors began with the same vectors
        return back.total(sent).view(shape)
    return back.each(sent).view(columns, n_tables, chains, size).transpose(1, 2)


def _mixed_back(back: Receivers, gradient: Tensor, weights: Tensor, shape: torch.Size) -> Tensor:
    """Gradient of `mix`: rows (rows, H C, B, D) by their weights along all edges."""
    rows, heads, n_behaviors = weights.shape[:3]
    gradient = gradient.view(rows, heads, shape[1], n_behaviors, shape[3])
    if compiled.usable(gradient, weights):
        from cigf.distributed import kernels  # needs numba

        sent = gradient.new_empty(n_behaviors, rows, *gradient.shape[2:])
        borders = compiled.split_evenly(rows, n_behaviors**2)
        arguments = compiled.arrays(gradient, weights, back.rows, sent)
        compiled.run(kernels.mixed_rows, borders, *arguments)
    else:
        scaled = weights * back.rows[:, None, None]
        sent = torch.stack(
            [(gradient * scaled[:, :, None, :, b, None]).sum(1) for b in range(n_behaviors)]
        )
    return back.total(sent.flatten(2)).view(shape)
