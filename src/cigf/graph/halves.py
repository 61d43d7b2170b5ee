"""Tables of half-precision rows: half the bytes for sums along edges to read. Needs numba.

A table is multiplied by a power of two that brings its largest number close to the largest that
half precision can hold; so numbers down to 1 / 2^29 of it keep 11 bits, whatever the table's scale.
"""

import math

import numpy as np
import torch
from torch import Tensor

from cigf.compiled import arrays, kernel, run, split_evenly
from cigf.graph.row_sums import LANES, put_halves
from cigf.short_vectors import Array

_BLOCK = 1 << 14
"""Numbers of a table whose largest is looked for, or that are rounded, in one go."""

_LARGEST = 2.0**15


@kernel
def _largest(x: Array, out: Array, first: int, last: int) -> None:
    """out[block] = the largest |x| of a block."""
    for block in range(first, last):
        found = np.float32(0.0)
        for place in range(block * _BLOCK, min((block + 1) * _BLOCK, len(x))):
            found = max(found, abs(x[place]))
        out[block] = found


@kernel
def _round(x: Array, factor: float, out: Array, first: int, last: int) -> None:
    """Set out to the bits of factor * x, for blocks of x."""
    for place in range(first * _BLOCK, min(last * _BLOCK, len(x)), LANES):
        put_halves(out, place, x, place, factor)


def fits(width: int) -> bool:
    """Whether rows of so many numbers can be halved: whole vector registers."""
    return width % LANES == 0


def largest(x: Tensor) -> float:
    """Return the largest absolute value; 0 of nothing."""
    n_blocks = -(-x.numel() // _BLOCK)
    out = x.new_zeros(max(n_blocks, 1))
    run(_largest, split_evenly(n_blocks, _BLOCK // LANES), *arrays(x.reshape(-1), out))
    return float(out.max())


def factor_for(bound: float) -> float:
    """Return the power of two by which numbers up to a bound are multiplied; 1 where it is odd."""
    if bound <= 0.0 or not math.isfinite(bound):
        return 1.0
    return float(2.0 ** min(max(math.floor(math.log2(_LARGEST / bound)), -100), 100))


def rounded(x: Tensor) -> tuple[Tensor, float]:
    """Return a float32 table's bits in half precision, uint16, and what it was multiplied by."""
    x = x.contiguous()
    factor = factor_for(largest(x))
    out = torch.empty(x.shape, dtype=torch.uint16)
    blocks = split_evenly(-(-x.numel() // _BLOCK), _BLOCK // LANES)
    (given,) = arrays(x.reshape(-1))
    run(_round, blocks, given, np.float32(factor), *arrays(out.reshape(-1)))
    return out, factor
