"""Compiled kernels of MB-GMN's generated layers. Needs numba.

Axes: as in `meta_scores`: r lists, m pairs of one, k pairs, D size, G = 3 D + 1, J = D + 2 blocks.
Kernels work on the lists or pairs from `first` to `last`. Arrays are C-contiguous.
"""

from typing import Any

import numpy as np

from cigf.compiled import inlined, kernel
from cigf.short_vectors import Array, add_piece, dot_pieces, set_piece


@kernel
def coefficients(
    users: Array, both: Array, of_item: Array, out: Array, first: int, last: int
) -> None:
    """out[r, g, j] = users[r, j] * both[g, j] + of_item[g, j] for j < D.

    Shapes: users (r, D), both and of_item (G, D, D), out (r, G, J, D).
    """
    n_meta, n_blocks, size = out.shape[1:]
    factors, left, right = users.reshape(-1), both.reshape(-1), of_item.reshape(-1)
    flat = out.reshape(-1)
    for g in range(n_meta):  # outside, because its weights are the same for all lists
        for r in range(first, last):
            for j in range(size):
                to = np.uint64(((r * n_meta + g) * n_blocks + j) * size)
                origin = np.uint64((g * size + j) * size)
                factor = factors[r * size + j]
                for d in range(np.uint64(size)):
                    flat[to + d] = factor * left[origin + d] + right[origin + d]


@inlined
def _hidden(made: Array, at: int, items: Array, place: int, out: Array, size: int) -> None:
    """Out = the hidden vector of one pair, before its activation."""
    one: Any = np.float32(1.0)
    set_piece(out, 0, one, made, at + size * size, size)
    for j in range(size):
        add_piece(out, 0, items[place + j], made, at + j * size, size)


@kernel
def scores(
    made: Array, items: Array, shared: bool, slope: float, out: Array, first: int, last: int
) -> None:
    """out[r, m] = sum over d of phi(hidden)[d] * made[r, m, D + 1, d].

    Shapes: made (r, m, J, D), items (r, m, D), or (1, m, D) if shared; out (r, m).
    """
    n_pairs, n_blocks, size = made.shape[1:]
    flat, flat_items = made.reshape(-1), items.reshape(-1)
    hidden = np.empty(size, np.float32)
    for r in range(first, last):
        for m in range(n_pairs):
            at = (r * n_pairs + m) * n_blocks * size
            place = (m if shared else r * n_pairs + m) * size
            _hidden(flat, at, flat_items, place, hidden, size)
            output = np.uint64(at + (size + 1) * size)
            total = np.float32(0.0)
            for d in range(np.uint64(size)):
                active = max(hidden[d], slope * hidden[d])
                total += active * flat[output + d]
            out[r, m] = total


@kernel
def scores_gradient(
    made: Array,
    items: Array,
    gradient: Array,
    slope: float,
    to_items: Array,
    first: int,
    last: int,
) -> None:
    """The gradient of `scores`: by the items, and by `made` in its own place.

    Shapes: made (k, J, D), items and to_items (k, D), gradient (k,).
    """
    n_blocks, size = made.shape[1:]
    flat, flat_items, flat_out = made.reshape(-1), items.reshape(-1), to_items.reshape(-1)
    hidden = np.empty(size, np.float32)
    one: Any = np.float32(1.0)
    for k in range(first, last):
        at, place = k * n_blocks * size, k * size
        _hidden(flat, at, flat_items, place, hidden, size)
        output = np.uint64(at + (size + 1) * size)
        change = gradient[k]
        for d in range(np.uint64(size)):
            weight, value = flat[output + d], hidden[d]
            flat[output + d] = change * max(value, slope * value)
            hidden[d] = change * weight * (one if value > 0 else slope)
        for j in range(size):
            block = at + j * size
            flat_out[place + j] = dot_pieces(flat, block, hidden, 0, size)
            set_piece(flat, block, flat_items[place + j], hidden, 0, size)
        set_piece(flat, at + size * size, one, hidden, 0, size)


@kernel
def collect(
    gradient: Array,
    users: Array,
    both: Array,
    to_both: Array,
    to_item: Array,
    to_users: Array,
) -> None:
    """The gradient of `coefficients`, added to what the three last arrays hold.

    Shapes: gradient (r, G, J, D); others as in `coefficients`. Not in parts, as all lists add to
    the same places.
    """
    n_lists, n_meta, n_blocks, size = gradient.shape
    flat, flat_both = gradient.reshape(-1), both.reshape(-1)
    out_both, out_item = to_both.reshape(-1), to_item.reshape(-1)
    for g in range(n_meta):
        for r in range(n_lists):
            for j in range(size):
                at = np.uint64(((r * n_meta + g) * n_blocks + j) * size)
                place = np.uint64((g * size + j) * size)
                factor, total = users[r, j], np.float32(0.0)
                for d in range(np.uint64(size)):
                    value = flat[at + d]
                    out_both[place + d] += factor * value
                    out_item[place + d] += value
                    total += value * flat_both[place + d]
                to_users[r, j] += total
