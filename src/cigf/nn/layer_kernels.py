"""Compiled kernels of the sum over layers. Needs numba.

Axes: n nodes, B behaviors, D embedding size. Arrays are C-contiguous.
"""

import numpy as np

from cigf.compiled import kernel
from cigf.short_vectors import Array, add_piece, set_piece


@kernel
def add_first(
    ego: Array, ego_factor: float, x: Array, factor: float, out: Array, first: int, last: int
) -> None:
    """out[r, b] = ego_factor * ego[r] + factor * x[r, b]; ego (n, D), x and out (n, B, D)."""
    n_behaviors, size = np.uint64(x.shape[1]), np.uint64(x.shape[2])
    flat_ego, flat_x, flat = ego.reshape(-1), x.reshape(-1), out.reshape(-1)
    for r in range(np.uint64(first), np.uint64(last)):
        for b in range(n_behaviors):
            at, place = (r * n_behaviors + b) * size, r * size
            for d in range(size):
                flat[at + d] = ego_factor * flat_ego[place + d] + factor * flat_x[at + d]


@kernel
def add_next(x: Array, factor: float, out: Array, first: int, last: int) -> None:
    """out[r] += factor * x[r]."""
    size = x.shape[1] * x.shape[2]
    at, length = first * size, (last - first) * size
    add_piece(out.reshape(-1), at, factor, x.reshape(-1), at, length)


@kernel
def scaled(x: Array, factor: float, out: Array, first: int, last: int) -> None:
    """out[r] = factor * x[r]."""
    size = x.shape[1] * x.shape[2]
    at, length = first * size, (last - first) * size
    set_piece(out.reshape(-1), at, factor, x.reshape(-1), at, length)


@kernel
def sum_behaviors(x: Array, factor: float, out: Array, first: int, last: int) -> None:
    """out[r] = factor * sum over b of x[r, b]; out (n, D)."""
    n_behaviors, size = x.shape[1:]
    flat_x, flat = x.reshape(-1), out.reshape(-1)
    for r in range(first, last):
        at, place = r * size, r * n_behaviors * size
        set_piece(flat, at, factor, flat_x, place, size)
        for b in range(1, n_behaviors):
            add_piece(flat, at, factor, flat_x, place + b * size, size)
