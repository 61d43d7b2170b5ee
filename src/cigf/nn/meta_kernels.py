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
    one: Any = np.float32(1.0)
    for g in range(n_meta):  # outside, because its weights are the same for all lists
        for r in range(first, last):
            for j in range(size):
                to, origin = ((r * n_meta + g) * n_blocks + j) * size, (g * size + j) * size
                set_piece(flat, to, one, right, origin, size)
                add_piece(flat, to, factors[r * size + j], left, origin, size)


@inlined
def _hidden(made: Array, at: int, items: Array, place: int, out: Array, to: int, size: int) -> None:
    """out[to:] = the hidden vector of one pair, before its activation."""
    one: Any = np.float32(1.0)
    set_piece(out, to, one, made, at + size * size, size)
    for j in range(size):
        add_piece(out, to, items[place + j], made, at + j * size, size)


@inlined
def _score(made: Array, at: int, hidden: Array, place: int, slope: float, size: int) -> Any:
    """Return the score that a hidden vector gives."""
    origin, output = np.uint64(place), np.uint64(at + (size + 1) * size)
    total = np.float32(0.0)
    for d in range(np.uint64(size)):
        value = hidden[origin + d]
        total += max(value, slope * value) * made[output + d]
    return total


@kernel
def scores(made: Array, items: Array, slope: float, out: Array, first: int, last: int) -> None:
    """out[m] = sum over d of phi(hidden)[d] * made[m, D + 1, d].

    Shapes: made (m, J, D), items (m, D), out (m,).
    """
    n_blocks, size = made.shape[1:]
    flat, flat_items = made.reshape(-1), items.reshape(-1)
    hidden = np.empty(size, np.float32)
    for m in range(first, last):
        at = m * n_blocks * size
        _hidden(flat, at, flat_items, m * size, hidden, 0, size)
        out[m] = _score(flat, at, hidden, 0, slope, size)


@kernel
def compare(
    made: Array,
    items: Array,
    extended: Array,
    positives: Array,
    negatives: Array,
    steps: Array,
    losses: Array,
    places: Array,
    to_items: Array,
    kept: Array,
    scale: float,
    slope: float,
) -> int:
    """Add the hinges of pairs of entries to losses, and walk their gradient back to `made`.

    That of the k entries which have one is put into the first rows of `made`, of to_items and, what
    described those entries, of kept; their numbers are put into places, and k is returned. The rows
    of kept after those are 0, so that those of `made`, which are left as they were, count nothing.

    Shapes: made (n, J, D), items and to_items (m <= n, D), extended and kept (n, G); positives,
    negatives, steps and losses (p,); places (m,).
    """
    n_entries, size = items.shape
    n_blocks = made.shape[1]
    flat, flat_items, flat_out = made.reshape(-1), items.reshape(-1), to_items.reshape(-1)
    hidden = np.empty(n_entries * size, np.float32)
    scores, slopes = np.empty(n_entries, np.float32), np.zeros(n_entries, np.float32)
    one: Any = np.float32(1.0)
    for m in range(n_entries):
        at = m * n_blocks * size
        _hidden(flat, at, flat_items, m * size, hidden, m * size, size)
        scores[m] = scale * _score(flat, at, hidden, m * size, slope, size)
    for p in range(len(positives)):
        first, second = positives[p], negatives[p]
        margin = one - scores[first] + scores[second]
        if not margin <= 0:  # also where it is not a number, which training has to see
            losses[p] += margin
            slopes[first] -= steps[p]
            slopes[second] += steps[p]
    found = 0
    for m in range(n_entries):
        change = slopes[m]
        if change == 0:
            continue
        at, to, place = m * n_blocks * size, found * n_blocks * size, m * size
        output, target = np.uint64(at + (size + 1) * size), np.uint64(to + (size + 1) * size)
        origin = np.uint64(place)
        for d in range(np.uint64(size)):
            weight, value = flat[output + d], hidden[origin + d]
            flat[target + d] = change * max(value, slope * value)
            hidden[origin + d] = change * weight * (one if value > 0 else slope)
        for j in range(size):
            flat_out[found * size + j] = dot_pieces(flat, at + j * size, hidden, place, size)
            set_piece(flat, to + j * size, flat_items[place + j], hidden, place, size)
        set_piece(flat, to + size * size, one, hidden, place, size)
        kept[found] = extended[m]
        places[found] = m
        found += 1
    kept[found:] = 0.0
    return found


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
    one: Any = np.float32(1.0)
    for g in range(n_meta):
        for r in range(n_lists):
            for j in range(size):
                at, place = ((r * n_meta + g) * n_blocks + j) * size, (g * size + j) * size
                add_piece(out_both, place, users[r, j], flat, at, size)
                add_piece(out_item, place, one, flat, at, size)
                to_users[r, j] += dot_pieces(flat, at, flat_both, place, size)
