"""Operations on short pieces of flat arrays, for compiled kernels to be made of. Needs numba.

Indices are unsigned, because one that may be negative counts from the end: a case that the compiler
would have to tell apart for each element.
"""

from typing import Any

import numpy as np

from cigf.compiled import inlined

Array = Any
"""What numba is given; the functions that call kernels say the shapes."""


@inlined
def add_piece(out: Array, at: int, factor: float, source: Array, place: int, size: int) -> None:
    """out[at : at + size] += factor * source[place : place + size]."""
    to, origin = np.uint64(at), np.uint64(place)
    for d in range(np.uint64(size)):
        out[to + d] += factor * source[origin + d]


@inlined
def set_piece(out: Array, at: int, factor: float, source: Array, place: int, size: int) -> None:
    """out[at : at + size] = factor * source[place : place + size]."""
    to, origin = np.uint64(at), np.uint64(place)
    for d in range(np.uint64(size)):
        out[to + d] = factor * source[origin + d]


@inlined
def dot_pieces(x: Array, at: int, y: Array, place: int, size: int) -> Any:
    """Inner product of x[at : at + size] and y[place : place + size]."""
    left, right, total = np.uint64(at), np.uint64(place), np.float32(0.0)
    for d in range(np.uint64(size)):
        total += x[left + d] * y[right + d]
    return total
