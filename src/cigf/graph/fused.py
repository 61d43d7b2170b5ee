"""Propagation by compiled kernels: what `graph.propagation` does, in fewer and larger pieces.

Axes: B behaviors, H attention heads, C chains per behavior, D embedding size.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from cigf.compiled import arrays, run, split_evenly
from cigf.graph import halves, kernels
from cigf.graph.stack import Stack

if TYPE_CHECKING:
    from cigf.graph.propagation import Side


def mix(side: "Side", x: Tensor, weights: Tensor) -> Tensor:
    """Mix one direction; see `propagation.mix_side`, also for shapes."""
    out: Tensor = _Mix.apply(x, weights, side)  # type: ignore[no-untyped-call]
    return out


def own(side: "Side", x: Tensor) -> Tensor:
    """Send one direction; see `propagation.own_side`, also for shapes."""
    out: Tensor = _Own.apply(x, side)  # type: ignore[no-untyped-call]
    return out


class _Own(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, side: "Side") -> Tensor:
        ctx.side, ctx.shape = side, x.shape
        tables, receive = _halved(side, _tables(side, x).flatten(2), side.receive)
        out = gather_each(side.stack, tables, receive)
        return out.view(*out.shape[:2], x.shape[1], x.shape[3]).transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        side: Side = ctx.side
        columns, chains, n_tables, size = ctx.shape
        sent, scale = _by_behavior(side, gradients[0].contiguous())
        sent = sent.flatten(2)
        if n_tables == 1:  # all behaviors began with the same vectors
            total = _send_back(side, sent, scale, columns)
            return total.view(columns, chains, 1, size), None
        each = _send_back_each(side, sent, scale, columns)
        return each.reshape(columns, -1, chains, size).transpose(1, 2), None


class _Mix(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: Tensor, side: "Side") -> Tensor:
        weights = weights.contiguous()
        rows, heads, n_behaviors, _ = weights.shape
        chains, size = x.shape[1], x.shape[3]
        tables = x[None] if side.send is None else _by_sender(x, side.send)
        tables, receive = _halved(side, tables.flatten(2), side.receive)
        gathered = x.new_empty(rows, n_behaviors, chains, n_behaviors, size)
        out = x.new_empty(rows, heads, chains, n_behaviors, size)
        _run(
            kernels.mix_forward,
            side.stack,
            tables.contiguous(),
            receive,
            weights,
            gathered,
            out,
        )
        ctx.side = side
        ctx.save_for_backward(weights, gathered)
        return out.flatten(1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, None]:
        side: Side = ctx.side
        weights, gathered = ctx.saved_tensors
        rows, n_behaviors, chains, _, size = gathered.shape
        heads = weights.shape[1]
        gradient = gradients[0].contiguous().view(rows, heads, chains, n_behaviors, size)
        weight_gradient = torch.empty_like(weights)
        bound = (gradient, weights, side.receive), weights.shape[1]
        sent, factor, scale = _to_be_sent(side, gradient, bound, (chains, n_behaviors, size))
        run(
            kernels.mix_backward,
            side.stack.borders,
            side.stack.starts,
            side.stack.stops,
            *arrays(gradient, weights, side.receive, gathered, weight_gradient),
            np.float32(factor),
            *arrays(sent),
        )
        if not ctx.needs_input_grad[0]:
            return None, weight_gradient, None
        columns = side.n_columns
        total = _send_back(side, sent.flatten(2), scale, columns)
        return total.view(columns, chains, n_behaviors, size), weight_gradient, None


def _tables(side: "Side", x: Tensor) -> Tensor:
    """What each behavior sends, (B, columns, C, D); (1, ...) where that is the same for all."""
    if side.send is None:
        return x.permute(2, 0, 1, 3)
    return x.permute(2, 0, 1, 3) * side.send.t()[:, :, None, None]


def _by_sender(x: Tensor, scale: Tensor) -> Tensor:
    """Scale the same rows for every behavior: (columns, ...) to (B, columns, ...)."""
    return x * scale.t().view(scale.shape[1], -1, *[1] * (x.dim() - 1))


def _by_behavior(side: "Side", gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Scale each behavior's own rows (rows, C, B, D), and put the behaviors first.

    Returns:
        The rows, (B, rows, C, D), and the senders' scales that belong to them.
    """
    rows, chains, n_behaviors, size = gradient.shape
    sent, factor, scale = _to_be_sent(side, gradient, ((gradient, side.receive), 1), (chains, size))
    borders = split_evenly(rows, chains * n_behaviors)
    given = arrays(gradient, side.receive)
    run(kernels.by_behavior, borders, *given, np.float32(factor), *arrays(sent))
    return sent, scale


def _halved(side: "Side", tables: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Round tables that are to be read in halves, and undo their factor in the receivers' scale."""
    if not side.halves or not halves.fits(tables.shape[2]):
        return tables, scale
    tables, factor = halves.rounded(tables)
    return tables, scale / factor


def _to_be_sent(
    side: "Side", gradient: Tensor, bound: tuple[tuple[Tensor, ...], int], shape: tuple[int, ...]
) -> tuple[Tensor, float, Tensor]:
    """Make room for what rows send back, (B, rows, *shape).

    Args:
        side: Who receives from whom.
        gradient: Of the rows.
        bound: Tensors whose largest values' product, times a number, nothing sent exceeds.
        shape: Of what a row sends.

    Returns:
        The room; what is to be multiplied by before it is put there; the senders' scales that undo
        that.
    """
    n_behaviors, rows = side.receive.shape[1], len(gradient)
    scale = side.send_or_ones
    if not side.halves or side.back is None or not halves.fits(shape[-1]):
        return gradient.new_empty(n_behaviors, rows, *shape), 1.0, scale
    tensors, times = bound
    highest = math.prod(halves.largest(each.contiguous()) for each in tensors) * times
    factor = halves.factor_for(highest)
    room = torch.empty(n_behaviors, rows, *shape, dtype=torch.uint16)
    return room, factor, scale / factor


def _send_back(side: "Side", sent: Tensor, scale: Tensor, columns: int) -> Tensor:
    """Send rows (B, rows, F) back along their edges, and add the behaviors up: (columns, F)."""
    if side.back is not None:
        return gather_total(side.back, sent, scale)
    out = sent.new_zeros(columns, sent.shape[2])
    stack = side.stack
    kernels.scatter_total(stack.starts, stack.stops, stack.indices, *arrays(sent, scale, out))
    return out


def _send_back_each(side: "Side", sent: Tensor, scale: Tensor, columns: int) -> Tensor:
    """Send rows (B, rows, F) back along their edges: (columns, B, F)."""
    if side.back is not None:
        return gather_each(side.back, sent, scale)
    out = sent.new_zeros(len(sent), columns, sent.shape[2])
    stack = side.stack
    for behavior in range(len(sent)):
        one = slice(behavior, behavior + 1)
        kernels.scatter_total(
            stack.starts[one],
            stack.stops[one],
            stack.indices,
            *arrays(sent[one], scale[:, one].contiguous(), out[behavior]),
        )
    return out.transpose(0, 1)


def gather_total(stack: Stack, tables: Tensor, scale: Tensor) -> Tensor:
    """Sum each row's neighbors under all behaviors: tables (B, columns, F) to (rows, F)."""
    out = scale.new_empty(stack.n_rows, tables.shape[2])
    _run(kernels.gather_total, stack, tables.contiguous(), scale, out)
    return out


def gather_each(stack: Stack, tables: Tensor, scale: Tensor) -> Tensor:
    """Sum each row's neighbors under each behavior: tables (B, columns, F) to (rows, B, F)."""
    out = scale.new_empty(stack.n_rows, len(stack.starts), tables.shape[2])
    _run(kernels.gather_each, stack, tables.contiguous(), scale, out)
    return out


def _run(kernel: Any, stack: Stack, *tensors: Tensor) -> None:
    edges = (stack.starts, stack.stops, stack.indices)
    run(kernel, stack.borders, *edges, *arrays(*tensors))
