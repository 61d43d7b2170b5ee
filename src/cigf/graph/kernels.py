"""Compiled kernels of propagation: several behaviors' edges in one pass over the rows.

Axes: B behaviors, H heads, C chains, D size, W the width of a table's rows.
Every kernel works on the rows from `first` to `last`; a row's sums are taken in the edges' order,
so they do not depend on the number of threads. Needs numba.
"""

from typing import Any

import numpy as np

from cigf.compiled import inlined, kernel
from cigf.graph.row_sums import LANES, NARROW, block_sum, put_halves
from cigf.short_vectors import Array, add_piece, dot_pieces, set_piece

_TILE = 64
"""Rows whose gathered sums are still in a near cache when they are mixed."""

_NEAR = 1 << 23
"""Bytes of a table that caches hold; half of it for narrow rows, which need less time each."""

_sum_64 = block_sum(64)
_sum_48 = block_sum(48)
_sum_32 = block_sum(32)
_sum_16 = block_sum(16)
_sum_8 = block_sum(8)


@inlined
def _sum_block(
    rest: int,
    table: Array,
    first: int,
    width: int,
    indices: Array,
    start: int,
    stop: int,
    near: bool,
    factor: float,
    add: bool,
    out: Array,
    at: int,
) -> None:
    """The widest block that fits in the rest of the columns; see `block_sum`."""
    if rest >= 64:
        _sum_64(table, first, width, indices, start, stop, near, factor, add, out, at)
    elif rest >= 48:
        _sum_48(table, first, width, indices, start, stop, near, factor, add, out, at)
    elif rest >= 32:
        _sum_32(table, first, width, indices, start, stop, near, factor, add, out, at)
    elif rest >= 16:
        _sum_16(table, first, width, indices, start, stop, near, factor, add, out, at)
    else:
        _sum_8(table, first, width, indices, start, stop, near, factor, add, out, at)


@kernel
def _gather(
    starts: Array,
    stops: Array,
    indices: Array,
    tables: Array,
    scale: Array,
    out: Array,
    row_step: int,
    behavior_step: int,
    skip: bool,
    first: int,
    last: int,
) -> None:
    """Sums of each behavior's edges times `scale[r, b]`, for some rows.

    They are put into the flat `out` at r * row_step + b * behavior_step; where that is the same
    place for all behaviors, they add up. With `skip`, rows without edges are left as they are.

    Behaviors outside of rows, and blocks of columns outside of both: so least is left to do for
    each row, which has a few dozen edges.
    """
    n_behaviors, width = starts.shape[0], tables.shape[2]
    table_step = 0 if len(tables) == 1 else tables.shape[1] * width
    flat = tables.reshape(-1)
    near = tables.shape[1] * width * tables.itemsize <= (_NEAR if width > NARROW else _NEAR // 2)
    done = 0
    while width - done >= 8:
        rest = width - done
        for b in range(n_behaviors):
            add = b > 0 and behavior_step == 0
            table, place = b * table_step + done, b * behavior_step + done
            for r in range(first, last):
                start, stop, factor, at = starts[b, r], stops[b, r], scale[r, b], r * row_step
                if skip and start == stop:
                    continue
                at += place
                _sum_block(
                    rest, flat, table, width, indices, start, stop, near, factor, add, out, at
                )
        done += min(64, rest - rest % 16) if rest >= 16 else 8
    for d in range(done, width):
        for b in range(n_behaviors):
            for r in range(first, last):
                total = np.float32(0.0)
                for edge in range(starts[b, r], stops[b, r]):
                    total += flat[b * table_step + np.int64(indices[edge]) * width + d]
                at = r * row_step + b * behavior_step + d
                held = out[at] if b > 0 and behavior_step == 0 else np.float32(0.0)
                out[at] = held + scale[r, b] * total


@kernel
def gather_each(
    starts: Array,
    stops: Array,
    indices: Array,
    tables: Array,
    scale: Array,
    out: Array,
    first: int,
    last: int,
) -> None:
    """out[r, b] = scale[r, b] * sum of b's table over r's edges under b.

    Shapes: starts and stops (B, rows); tables (B or 1, columns, W); out (rows, B, W).
    """
    n_behaviors, width = out.shape[1:]
    steps = (n_behaviors * width, width)
    _gather(starts, stops, indices, tables, scale, out.reshape(-1), *steps, False, first, last)


@kernel
def gather_total(
    starts: Array,
    stops: Array,
    indices: Array,
    tables: Array,
    scale: Array,
    out: Array,
    first: int,
    last: int,
) -> None:
    """out[r] = sum over b of scale[r, b] * sum of b's table over r's edges under b.

    Shapes: as in `gather_each`, but out (rows, W).
    """
    flat, width = out.reshape(-1), out.shape[1]
    same: Any = np.int64(0)  # place for all behaviors; a literal would be compiled once more
    _gather(starts, stops, indices, tables, scale, flat, width, same, False, first, last)


@kernel
def scatter_total(
    starts: Array, stops: Array, indices: Array, tables: Array, scale: Array, out: Array
) -> None:
    """out[c] += scale[c, b] * b's table's row r, for all edges of rows r to columns c.

    `gather_total` with the edges known from the other side: for few rows. Not in parts, because
    all rows send to the same columns.
    """
    n_behaviors, n_rows = starts.shape
    width = out.shape[1]
    flat_tables, flat_out = tables.reshape(-1), out.reshape(-1)
    for b in range(n_behaviors):
        for r in range(n_rows):
            for edge in range(starts[b, r], stops[b, r]):
                column = np.int64(indices[edge])
                place = (b * n_rows + r) * width
                add_piece(flat_out, column * width, scale[column, b], flat_tables, place, width)


@kernel
def by_behavior(
    gradient: Array, scale: Array, factor: float, out: Array, ahead: int, first: int, last: int
) -> None:
    """out[b, ahead + r, c] = factor * scale[r, b] * gradient[r, c, b]: what each row sends back.

    Out is of single numbers, or of the bits of half ones; a factor of 1 changes nothing.
    """
    n_chains, n_behaviors, size = gradient.shape[1:]
    n_sent = out.shape[1]
    flat, flat_out = gradient.reshape(-1), out.reshape(-1)
    for b in range(n_behaviors):
        for r in range(first, last):
            for c in range(n_chains):
                at = ((b * n_sent + ahead + r) * n_chains + c) * size
                place = ((r * n_chains + c) * n_behaviors + b) * size
                _put(flat_out, at, factor * scale[r, b], flat, place, size)


@inlined
def _put(out: Array, at: int, factor: float, source: Array, place: int, size: int) -> None:
    """out[at : at + size] = factor * source[place : place + size], or the half numbers' bits."""
    if out.itemsize == 2:
        for d in range(0, size, LANES):
            put_halves(out, at + d, source, place + d, factor)
    else:
        set_piece(out, at, factor, source, place, size)


@kernel
def mix_forward(
    starts: Array,
    stops: Array,
    indices: Array,
    tables: Array,
    scale: Array,
    weights: Array,
    gathered: Array,
    out: Array,
    first: int,
    last: int,
) -> None:
    """`Propagation.mix` for one direction; what was gathered is kept for the gradient.

    Rows without edges under a behavior are never written to `gathered`, nor read: most items of a
    large catalog have no edges but views.
    Shapes: weights (rows, H, B, B); gathered (rows, B, C, B, D); out (rows, H, C, B, D).
    """
    n_heads, n_chains, n_behaviors, size = out.shape[1:]
    width = n_chains * n_behaviors * size
    sums, flat_out = gathered.reshape(-1), out.reshape(-1)
    steps = (n_behaviors * width, width)
    for tile in range(first, last, _TILE):
        end = min(tile + _TILE, last)
        _gather(starts, stops, indices, tables, scale, sums, *steps, True, tile, end)
        for r in range(tile, end):
            out[r] = 0.0
            for b in range(n_behaviors):
                if starts[b, r] == stops[b, r]:
                    continue
                for h in range(n_heads):
                    for c in range(n_chains):
                        for k in range(n_behaviors):
                            source = ((r * n_behaviors + b) * n_chains + c) * n_behaviors + k
                            target = ((r * n_heads + h) * n_chains + c) * n_behaviors + k
                            source, target = source * size, target * size
                            add_piece(flat_out, target, weights[r, h, k, b], sums, source, size)


@kernel
def mix_backward(
    starts: Array,
    stops: Array,
    gradient: Array,
    weights: Array,
    scale: Array,
    gathered: Array,
    weight_gradient: Array,
    factor: float,
    sent: Array,
    ahead: int,
    first: int,
    last: int,
) -> None:
    """The gradient of `mix_forward` as far as the receiving rows.

    Shapes: gradient (rows, H, C, B, D); weight_gradient like weights; sent (B, ahead + rows or
    more, C, B, D), what each row sends back along its edges, times a factor, behind rows of others;
    its numbers as in `by_behavior`. Where it has no rows at all, nothing is sent.
    """
    n_sent = sent.shape[1]
    n_heads, n_chains, n_behaviors, size = gradient.shape[1:]
    flat, sums, flat_sent = gradient.reshape(-1), gathered.reshape(-1), sent.reshape(-1)
    width = n_chains * n_behaviors * size
    row = np.empty(width, np.float32)
    for r in range(first, last):
        weight_gradient[r] = 0.0
        for b in range(n_behaviors):
            if starts[b, r] == stops[b, r]:
                continue
            row[:] = 0.0
            for h in range(n_heads):
                for c in range(n_chains):
                    for k in range(n_behaviors):
                        source = (((r * n_behaviors + b) * n_chains + c) * n_behaviors + k) * size
                        target = (c * n_behaviors + k) * size
                        at = (((r * n_heads + h) * n_chains + c) * n_behaviors + k) * size
                        weight_gradient[r, h, k, b] += dot_pieces(flat, at, sums, source, size)
                        if n_sent:
                            weight = weights[r, h, k, b] * scale[r, b]
                            add_piece(row, target, weight, flat, at, size)
            if n_sent:
                _put(flat_sent, (b * n_sent + ahead + r) * width, factor, row, 0, width)
