"""Compiled kernels of the samplers. Needs numba."""

import numpy as np

from cigf.compiled import kernel
from cigf.short_vectors import Array


@kernel
def has_pairs(
    starts: Array, indices: Array, rows: Array, columns: Array, found: Array, first: int, last: int
) -> None:
    """found[n] = whether row rows[n] has column columns[n]: a binary search within the row.

    Quicker than one over all pairs, because a row lies in one or two lines of the cache.
    """
    for n in range(first, last):
        low, high = starts[rows[n]], starts[rows[n] + 1]
        end, wanted = high, columns[n]
        while low < high:
            middle = (low + high) // np.int64(2)
            if indices[middle] < wanted:
                low = middle + 1
            else:
                high = middle
        found[n] = low < end and indices[low] == wanted
