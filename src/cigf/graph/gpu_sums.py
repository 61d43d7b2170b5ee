"""Sums along edges by kernels compiled for a GPU: `fused.Sums`. Needs triton.

Axes: B behaviors, H attention heads, C chains per behavior, D embedding size, F width of a table.
"""

from typing import Any

import torch
from torch import Tensor

from cigf.graph import gpu_kernels as kernels
from cigf.graph.gpu_edges import GPUEdges
from cigf.graph.side import Side

_WIDEST = 256
"""Numbers of a row that one program sums at most; wider rows are shared by several programs."""

_TILE = 1024
"""Numbers that a program has under way: the rows that it reads at a time, times their width."""

_MOST_EDGES = 32

_LARGEST = 2.0**15
"""To what the largest number of a table of half precision is brought; see `halves`."""


def each(side: Side, tables: Tensor) -> Tensor:
    """See `fused.Sums`."""
    return gather_each(side.on_gpu, *_halved(side, tables))


def mix(side: Side, tables: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """See `fused.Sums`."""
    rows, heads, n_behaviors, _ = weights.shape
    gathered = weights.new_empty(rows, n_behaviors, *tables.shape[2:])
    out = weights.new_empty(rows, heads, *tables.shape[2:])
    flat, receive = _halved(side, tables.flatten(2))
    numbers = {"D": tables.shape[4], "H": heads, "HEADS": _power_of_two(heads)}
    more = weights, gathered
    _run(kernels.mix_forward, side.on_gpu, flat, receive, out, *more, **numbers)
    return gathered, out


def to_send(side: Side, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """See `fused.Sums`."""
    factor, kind = _factor(side, (gradient, side.receive), 1)
    by_behavior = (side.receive * factor).t()[:, :, None, None]
    sent = gradient.permute(2, 0, 1, 3) * by_behavior
    return sent.flatten(2).to(kind), side.send_or_ones / factor


def mix_backward(
    side: Side, gradient: Tensor, weights: Tensor, gathered: Tensor, *, sends: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """See `fused.Sums`."""
    rows, heads, chains, n_behaviors, size = gradient.shape
    factor, kind = _factor(side, (gradient, weights, side.receive), heads)
    weight_gradient = torch.empty_like(weights)
    width = chains * n_behaviors * size
    sent = gradient.new_empty(n_behaviors, rows if sends else 0, width, dtype=kind)
    edges = side.on_gpu
    k, d = _power_of_two(n_behaviors), _power_of_two(size)
    at_once = max(1, _TILE // (k * d))
    if rows:
        kernels.mix_backward[(-(-rows // at_once),)](
            edges.starts,
            edges.stops,
            side.receive.contiguous(),
            gradient,
            weights,
            gathered,
            weight_gradient,
            factor,
            sent,
            rows,
            B=n_behaviors,
            C=chains,
            D=size,
            H=heads,
            SENDS=sends,
            ROWS=at_once,
            CHAINS=k,
            SIZE=d,
            enable_fp_fusion=True,
        )
    return weight_gradient, sent, side.send_or_ones / factor


def send_back(side: Side, sent: Tensor, scale: Tensor) -> Tensor:
    """See `fused.Sums`."""
    return gather_total(side.back_on_gpu, sent, scale)


def send_back_each(side: Side, sent: Tensor, scale: Tensor) -> Tensor:
    """See `fused.Sums`."""
    return gather_each(side.back_on_gpu, sent, scale)


def gather_total(edges: GPUEdges, tables: Tensor, scale: Tensor) -> Tensor:
    """Sum each row's neighbors under all behaviors: tables (B, columns, F) to (rows, F)."""
    out = scale.new_empty(edges.n_rows, tables.shape[2])
    _run(kernels.gather, edges, tables, scale, out, TOTAL=True)
    return out


def gather_each(edges: GPUEdges, tables: Tensor, scale: Tensor) -> Tensor:
    """Sum each row's neighbors under each behavior: tables (B, columns, F) to (rows, B, F)."""
    out = scale.new_empty(edges.n_rows, len(edges.starts), tables.shape[2])
    _run(kernels.gather, edges, tables, scale, out, TOTAL=False)
    return out


def _run(
    kernel: Any,
    edges: GPUEdges,
    tables: Tensor,
    scale: Tensor,
    out: Tensor,
    *more: Tensor,
    **numbers: int,
) -> None:
    """Run a kernel of one program per row, after the sums of the long rows' pieces."""
    width = tables.shape[2]
    if not edges.n_rows or not width:
        return
    block = min(_power_of_two(width), _WIDEST)
    at_once = min(max(_TILE // block, 1), _MOST_EDGES)
    n_blocks = -(-width // block)
    tables = tables.contiguous()
    step = 0 if len(tables) == 1 else tables.shape[1] * width
    moved = edges.position is not None
    position = edges.position if moved else edges.pieces.first
    shape = {
        "W": width,
        "EDGES": at_once,
        "BLOCK": block,
        "MOVED": moved,
        "num_warps": 1,
        "enable_fp_fusion": True,
    }
    pieces = edges.pieces
    sums = scale.new_empty(len(pieces), width)
    if len(pieces):
        some = pieces.wanted is not None
        kernels.sum_pieces[(len(pieces), n_blocks)](
            tables,
            step,
            edges.indices,
            position,
            pieces.behaviors,
            pieces.starts,
            pieces.stops,
            pieces.wanted if some else pieces.rows,
            sums,
            SOME=some,
            **shape,
        )
    kernel[(edges.n_rows, n_blocks)](
        tables,
        step,
        edges.indices,
        position,
        sums,
        pieces.first,
        edges.starts,
        edges.stops,
        scale.contiguous(),
        out,
        edges.n_rows,
        *more,
        B=len(edges.starts),
        PIECE=pieces.size if len(pieces) else 0,
        **shape,
        **numbers,
    )


def _halved(side: Side, tables: Tensor) -> tuple[Tensor, Tensor]:
    """Round tables that are to be read in halves, and undo their factor in the receivers' scale."""
    if not side.halves:
        return tables, side.receive
    factor, kind = _factor(side, (tables,), 1)
    return (tables * factor).to(kind), side.receive / factor


def _factor(side: Side, bound: tuple[Tensor, ...], times: int) -> tuple[Tensor, torch.dtype]:
    """Return by what a table is multiplied, a power of two, and its precision.

    Args:
        side: Whether halves are wanted.
        bound: Tensors whose largest values' product, times a number, nothing in the table exceeds.
        times: That number.

    Returns:
        The factor, (1,), on the device: nothing waits for its value.
    """
    one = bound[0].new_ones(1)
    if not side.halves or any(each.numel() == 0 for each in bound):
        return one, torch.float32
    highest = torch.stack([each.abs().amax() for each in bound]).prod() * times
    power = torch.floor(torch.log2(_LARGEST / highest)).clamp(-100, 100)
    return torch.where(power.isfinite(), torch.exp2(power), one), torch.float16


def _power_of_two(n: int) -> int:
    """The least power of two that is not smaller."""
    return 1 << max(n - 1, 0).bit_length()
