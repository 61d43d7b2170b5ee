"""Sums along edges by kernels compiled for the CPU: `fused.Sums`. Needs numba.

Axes: B behaviors, H attention heads, C chains per behavior, D embedding size, F width of a table.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cigf.compiled import arrays, run, split_evenly
from cigf.graph import halves, kernels
from cigf.graph.fused import Room
from cigf.graph.side import Side
from cigf.graph.stack import Stack


def each(side: Side, tables: Tensor) -> Tensor:
    """See `fused.Sums`."""
    return gather_each(side.stack, *_halved(side, tables))


def mix(side: Side, tables: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """See `fused.Sums`."""
    rows, heads, n_behaviors, _ = weights.shape
    gathered = weights.new_empty(rows, n_behaviors, *tables.shape[2:])
    out = weights.new_empty(rows, heads, *tables.shape[2:])
    tables, receive = _halved(side, tables.flatten(2))
    given = tables.contiguous(), receive, weights
    _run(kernels.mix_forward, side.stack, *given, gathered, out)
    return gathered, out


def to_send(side: Side, gradient: Tensor, room: Room | None = None) -> tuple[Tensor, Tensor]:
    """See `fused.Sums`; what is sent may be put into a room, in single precision."""
    rows, chains, n_behaviors, size = gradient.shape
    bound = (gradient, side.receive), 1
    sent, first, factor, scale = _to_be_sent(side, gradient, bound, (chains, size), room)
    borders = split_evenly(rows, chains * n_behaviors)
    given = arrays(gradient, side.receive)
    run(kernels.by_behavior, borders, *given, np.float32(factor), *arrays(sent), first)
    return sent.flatten(2), scale


def mix_backward(
    side: Side,
    gradient: Tensor,
    weights: Tensor,
    gathered: Tensor,
    *,
    sends: bool = True,
    room: Room | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """See `fused.Sums`; what is sent may be put into a room, in single precision."""
    weight_gradient = torch.empty_like(weights)
    bound = (gradient, weights, side.receive), weights.shape[1]
    shape = tuple(gathered.shape[2:])
    if not sends:
        room = Room(gradient.new_empty(weights.shape[3], 0, math.prod(shape)), 0)
    sent, first, factor, scale = _to_be_sent(side, gradient, bound, shape, room)
    run(
        kernels.mix_backward,
        side.stack.borders,
        side.stack.starts,
        side.stack.stops,
        *arrays(gradient, weights, side.receive, gathered, weight_gradient),
        np.float32(factor),
        *arrays(sent),
        first,
    )
    return weight_gradient, sent.flatten(2), scale


def send_back(side: Side, sent: Tensor, scale: Tensor) -> Tensor:
    """See `fused.Sums`."""
    if side.back is not None:
        return gather_total(side.back, sent, scale)
    out = sent.new_zeros(side.n_columns, sent.shape[2])
    stack = side.stack
    kernels.scatter_total(stack.starts, stack.stops, stack.indices, *arrays(sent, scale, out))
    return out


def send_back_each(side: Side, sent: Tensor, scale: Tensor) -> Tensor:
    """See `fused.Sums`."""
    if side.back is not None:
        return gather_each(side.back, sent, scale)
    out = sent.new_zeros(len(sent), side.n_columns, sent.shape[2])
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


def _halved(side: Side, tables: Tensor) -> tuple[Tensor, Tensor]:
    """Round tables that are to be read in halves, and undo their factor in the receivers' scale."""
    if not side.halves or not halves.fits(tables.shape[2]):
        return tables, side.receive
    tables, factor = halves.rounded(tables)
    return tables, side.receive / factor


def _to_be_sent(
    side: Side,
    gradient: Tensor,
    bound: tuple[tuple[Tensor, ...], int],
    shape: tuple[int, ...],
    room: Room | None,
) -> tuple[Tensor, int, float, Tensor]:
    """Make room for what rows send back, (B, rows, *shape), unless there is some.

    Args:
        side: Who receives from whom.
        gradient: Of the rows.
        bound: Tensors whose largest values' product, times a number, nothing sent exceeds.
        shape: Of what a row sends.
        room: Where to put it, if that is known.

    Returns:
        The room, and where these rows begin; what is to be multiplied by before it is put there;
        the senders' scales that undo that.
    """
    n_behaviors, rows = side.receive.shape[1], len(gradient)
    scale = side.send_or_ones
    if room is not None:
        return room.table.view(*room.table.shape[:2], *shape), room.first, 1.0, scale
    if not side.halves or side.back is None or not halves.fits(shape[-1]):
        return gradient.new_empty(n_behaviors, rows, *shape), 0, 1.0, scale
    tensors, times = bound
    highest = math.prod(halves.largest(each.contiguous()) for each in tensors) * times
    factor = halves.factor_for(highest)
    sent = torch.empty(n_behaviors, rows, *shape, dtype=torch.uint16)
    return sent, 0, factor, scale / factor
