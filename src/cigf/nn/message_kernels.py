"""Compiled kernels of the attention between a node's messages. Needs numba.

Axes: n nodes, B messages, D size, H heads. Kernels work on the nodes from `first` to `last`.
Arrays are C-contiguous.
"""

import math
from typing import Any

import numpy as np

from cigf.compiled import kernel
from cigf.short_vectors import Array, add_piece, dot_pieces, set_piece


@kernel
def attend(
    asked: Array, values: Array, scale: float, shares: Array, out: Array, first: int, last: int
) -> None:
    """Set out[r] to the sum of r's messages and of what each attends to; see `message_attention`.

    Shapes: asked and values (n, B, D); shares (n, H, B, B), which message attends to which by how
    much; out (n, D).
    """
    n_messages, width = asked.shape[1:]
    n_heads = shares.shape[1]
    size = width // n_heads
    flat_asked, flat, flat_out = asked.reshape(-1), values.reshape(-1), out.reshape(-1)
    for r in range(first, last):
        for h in range(n_heads):
            begin, to = r * n_messages * width + h * size, r * width + h * size
            for i in range(n_messages):
                at, highest = begin + i * width, np.float32(-np.inf)
                for j in range(n_messages):
                    logit = scale * dot_pieces(flat_asked, at, flat_asked, begin + j * width, size)
                    shares[r, h, i, j] = logit
                    highest = max(highest, logit)
                total = np.float32(0.0)
                for j in range(n_messages):
                    share = math.exp(shares[r, h, i, j] - highest)
                    shares[r, h, i, j] = share
                    total += share
                for j in range(n_messages):
                    shares[r, h, i, j] /= total
            for j in range(n_messages):
                weight: Any = np.float32(1.0)
                for i in range(n_messages):
                    weight += shares[r, h, i, j]
                if j == 0:
                    set_piece(flat_out, to, weight, flat, begin, size)
                else:
                    add_piece(flat_out, to, weight, flat, begin + j * width, size)


@kernel
def attend_gradient(
    asked: Array,
    values: Array,
    scale: float,
    shares: Array,
    gradient: Array,
    to_asked: Array,
    to_values: Array,
    first: int,
    last: int,
) -> None:
    """The gradient of `attend`.

    Shapes: gradient (n, D); to_asked and to_values like asked.
    """
    n_messages, width = asked.shape[1:]
    n_heads = shares.shape[1]
    size = width // n_heads
    flat_asked, flat, flat_gradient = asked.reshape(-1), values.reshape(-1), gradient.reshape(-1)
    out_asked, out_values = to_asked.reshape(-1), to_values.reshape(-1)
    slopes = np.empty(n_messages, np.float32)
    for r in range(first, last):
        to_asked[r] = 0.0
        for h in range(n_heads):
            begin, to = r * n_messages * width + h * size, r * width + h * size
            for j in range(n_messages):
                at = begin + j * width
                weight: Any = np.float32(1.0)
                for i in range(n_messages):
                    weight += shares[r, h, i, j]
                slopes[j] = dot_pieces(flat_gradient, to, flat, at, size)
                set_piece(out_values, at, weight, flat_gradient, to, size)
            for i in range(n_messages):
                mean = np.float32(0.0)
                for j in range(n_messages):
                    mean += shares[r, h, i, j] * slopes[j]
                for j in range(n_messages):
                    slope = scale * shares[r, h, i, j] * (slopes[j] - mean)
                    one, other = begin + i * width, begin + j * width
                    add_piece(out_asked, one, slope, flat_asked, other, size)
                    add_piece(out_asked, other, slope, flat_asked, one, size)
