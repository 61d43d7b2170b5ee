"""Compiled kernels that choose edges: some rows' edges, or those to some columns. Needs numba.

Axes: B behaviors. `position` says where a column stands among those that are chosen, -1 for the
others; empty where all columns keep their numbers.
"""

import numpy as np

from cigf.compiled import kernel
from cigf.short_vectors import Array


@kernel
def copy_rows(
    starts: Array,
    stops: Array,
    indices: Array,
    position: Array,
    new_starts: Array,
    out: Array,
    first: int,
    last: int,
) -> None:
    """Copy each row's columns to where it begins in `out`, renumbered.

    Shapes: starts, stops and new_starts (B, rows).
    """
    renumbered = len(position) > 0
    for b in range(len(starts)):
        for r in range(first, last):
            at = np.uint64(new_starts[b, r])
            for edge in range(np.uint64(starts[b, r]), np.uint64(stops[b, r])):
                column = indices[edge]
                out[at] = position[np.uint64(column)] if renumbered else column
                at += np.uint64(1)


@kernel
def keep_edges(
    starts: Array,
    stops: Array,
    indices: Array,
    position: Array,
    new_starts: Array,
    new_stops: Array,
    out: Array,
    first: int,
    last: int,
) -> None:
    """Keep the edges to chosen columns, renumbered; `out` is as long as `indices`.

    The edges of the rows from `first` to `last` then lie side by side, from where they lay.
    """
    for b in range(len(starts)):
        if first == last:
            continue
        at = np.uint64(starts[b, first])
        for r in range(first, last):
            new_starts[b, r] = at
            for edge in range(np.uint64(starts[b, r]), np.uint64(stops[b, r])):
                place = position[np.uint64(indices[edge])]
                out[at] = place  # written over by the next, unless it is kept
                at += np.uint64(place >= 0)
            new_stops[b, r] = at
