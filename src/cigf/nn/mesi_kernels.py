"""Compiled kernels of MESI with its pairwise loss. Needs numba.

Axes: u users, I items, B behaviors (tasks and experts), D size, n pairs, 2 sides: the positive
item and the negative one. Kernels work on the pairs, users or items from `first` to `last`; each
sum has one order, whatever the number of threads.
"""

import math

import numpy as np

from cigf.compiled import inlined, kernel
from cigf.short_vectors import Array, add_piece, dot_pieces


@inlined
def _task_of(pair: int, borders: Array) -> int:
    task = 0
    while pair >= borders[task + 1]:
        task += 1
    return task


@kernel
def gate_logits(x: Array, weight: Array, bias: Array, out: Array, first: int, last: int) -> None:
    """out[r, k, j] = <x[r, k], weight[j]> + bias[j]: what a node brings to task k's gate.

    Shapes: x (n, B, D), weight (B, D), bias (B,), out (n, B, B).
    """
    n_behaviors, size = weight.shape
    flat, flat_weight, flat_out = x.reshape(-1), weight.reshape(-1), out.reshape(-1)
    for place in range(first * n_behaviors, last * n_behaviors):
        for j in range(n_behaviors):
            logit = dot_pieces(flat, place * size, flat_weight, j * size, size) + bias[j]
            flat_out[place * n_behaviors + j] = logit


@kernel
def gate_logits_gradient(
    x: Array,
    weight: Array,
    gradient: Array,
    block_size: int,
    x_gradient: Array,
    weight_gradients: Array,
    bias_gradients: Array,
    first: int,
    last: int,
) -> None:
    """Add the gradient by nodes to `x_gradient`; those by weight and bias are per block of rows.

    `first` and `last` are blocks, whose borders do not depend on the number of threads.
    Shapes: gradient (n, B, B); weight_gradients (blocks, B, D); bias_gradients (blocks, B).
    """
    n_behaviors, size = weight.shape
    flat, flat_weight, out = x.reshape(-1), weight.reshape(-1), x_gradient.reshape(-1)
    flat_gradient, to_weight = gradient.reshape(-1), weight_gradients.reshape(-1)
    for block in range(first, last):
        weight_gradients[block] = 0.0
        bias_gradients[block] = 0.0
        end = min((block + 1) * block_size, len(x))
        for place in range(block * block_size * n_behaviors, end * n_behaviors):
            for j in range(n_behaviors):
                slope = flat_gradient[place * n_behaviors + j]
                if slope != 0.0:
                    bias_gradients[block, j] += slope
                    at = (block * n_behaviors + j) * size
                    add_piece(to_weight, at, slope, flat, place * size, size)
                    add_piece(out, place * size, slope, flat_weight, j * size, size)


@kernel
def pair_losses(
    x: Array,
    x_gates: Array,
    y: Array,
    y_gates: Array,
    rows: Array,
    chosen: Array,
    borders: Array,
    scale: float,
    losses: Array,
    to_experts: Array,
    to_gates: Array,
    first: int,
    last: int,
) -> None:
    """Losses of pairs, and their derivatives by the experts' outputs and by the gates' logits.

    Shapes: x (u, B D), x_gates (u, B B), y (I, B D), y_gates (I, B B), rows (n,), chosen (2, n);
    losses (n,), to_experts and to_gates (2, n, B). Pairs of task k lie from borders[k] on.
    """
    n_behaviors = len(borders) - 1
    width = x.shape[1]
    size = width // n_behaviors
    flat_x, flat_y = x.reshape(-1), y.reshape(-1)
    scores = np.empty(2, np.float32)
    for pair in range(first, last):
        task = _task_of(pair, borders)
        own = task * n_behaviors
        row = rows[pair]
        for side in range(2):
            item = chosen[side, pair]
            highest = np.float32(-np.inf)
            for j in range(n_behaviors):
                at, place = row * width + j * size, item * width + j * size
                to_experts[side, pair, j] = dot_pieces(flat_x, at, flat_y, place, size)
                logit = x_gates[row, own + j] + y_gates[item, own + j]
                to_gates[side, pair, j] = logit
                highest = max(highest, logit)
            total, score = np.float32(0.0), np.float32(0.0)
            for j in range(n_behaviors):
                weight = math.exp(to_gates[side, pair, j] - highest)
                to_gates[side, pair, j] = weight
                total += weight
                score += weight * to_experts[side, pair, j]
            score /= total
            for j in range(n_behaviors):
                weight = to_gates[side, pair, j] / total
                to_gates[side, pair, j] = weight * (to_experts[side, pair, j] - score)
                to_experts[side, pair, j] = weight
            scores[side] = scale * score
        behind = scores[1] - scores[0]
        shrunk = np.float32(math.exp(-abs(behind)))
        losses[pair] = max(behind, np.float32(0.0)) + np.float32(math.log1p(shrunk))
        slope = (np.float32(1.0) if behind >= 0 else shrunk) / (np.float32(1.0) + shrunk)
        slope *= np.float32(scale / (borders[task + 1] - borders[task]))
        for side in range(2):
            signed = slope if side == 1 else -slope
            for j in range(n_behaviors):
                to_experts[side, pair, j] *= signed
                to_gates[side, pair, j] *= signed


@kernel
def users_gradient(
    y: Array,
    rows: Array,
    chosen: Array,
    borders: Array,
    upstream: Array,
    to_experts: Array,
    to_gates: Array,
    x_gradient: Array,
    gates_gradient: Array,
    first: int,
    last: int,
) -> None:
    """What the losses' derivatives are by the users' vectors and logits.

    Shapes: as in `pair_losses`; upstream (B,), one factor per task; gradients like x and x_gates.
    """
    n_behaviors = len(borders) - 1
    width = y.shape[1]
    size = width // n_behaviors
    flat, out = y.reshape(-1), x_gradient.reshape(-1)
    x_gradient[first:last] = 0.0
    gates_gradient[first:last] = 0.0
    for task in range(n_behaviors):
        mine = rows[borders[task] : borders[task + 1]]
        begin, end = np.searchsorted(mine, first), np.searchsorted(mine, last)
        for pair in range(borders[task] + begin, borders[task] + end):
            row = rows[pair]
            for side in range(2):
                item = chosen[side, pair]
                for j in range(n_behaviors):
                    factor = upstream[task] * to_experts[side, pair, j]
                    at, place = row * width + j * size, item * width + j * size
                    add_piece(out, at, factor, flat, place, size)
                    gate = upstream[task] * to_gates[side, pair, j]
                    gates_gradient[row, task * n_behaviors + j] += gate


@kernel
def by_item(chosen: Array, starts: Array, order: Array) -> None:
    """Sort the pairs' sides by item: a counting sort, stable.

    Shapes: chosen (2 n,) flat; starts (I + 1,), the first place of each item; order (2 n,).
    """
    starts[:] = 0
    for item in chosen:
        starts[item + 1] += 1
    for item in range(len(starts) - 1):
        starts[item + 1] += starts[item]
    for side_and_pair, item in enumerate(chosen):
        order[starts[item]] = side_and_pair
        starts[item] += 1
    for item in range(len(starts) - 1, 0, -1):
        starts[item] = starts[item - 1]
    starts[0] = 0


@kernel
def items_gradient(
    x: Array,
    rows: Array,
    starts: Array,
    order: Array,
    borders: Array,
    upstream: Array,
    to_experts: Array,
    to_gates: Array,
    y_gradient: Array,
    gates_gradient: Array,
    first: int,
    last: int,
) -> None:
    """The same by the items' vectors and logits; `starts` and `order` are those of `by_item`."""
    n_behaviors = len(borders) - 1
    width, n_pairs = x.shape[1], len(rows)
    size = width // n_behaviors
    flat, out = x.reshape(-1), y_gradient.reshape(-1)
    y_gradient[first:last] = 0.0
    gates_gradient[first:last] = 0.0
    for item in range(first, last):
        for place in range(starts[item], starts[item + 1]):
            side = 1 if order[place] >= n_pairs else 0
            pair = order[place] - side * n_pairs
            row, task = rows[pair], _task_of(pair, borders)
            for j in range(n_behaviors):
                factor = upstream[task] * to_experts[side, pair, j]
                at = item * width + j * size
                add_piece(out, at, factor, flat, row * width + j * size, size)
                gate = upstream[task] * to_gates[side, pair, j]
                gates_gradient[item, task * n_behaviors + j] += gate
