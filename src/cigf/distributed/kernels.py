"""Compiled kernels of a rank's propagation. Needs numba.

Axes: B behaviors, H heads, C chains per behavior, D size.
"""

from cigf.compiled import kernel
from cigf.short_vectors import Array, add_piece, set_piece


@kernel
def mixed_rows(
    gradient: Array, weights: Array, scale: Array, sent: Array, first: int, last: int
) -> None:
    """sent[b, r, c, k] = scale[r, b] * sum over h of weights[r, h, k, b] * gradient[r, h, c, k].

    What each row sends back along its edges. Where its scale is 0 it has none: nothing is written,
    nor read. Shapes: gradient (rows, H, C, B, D); weights (rows, H, B, B); scale (rows, B); sent
    (B, rows, C, B, D).
    """
    n_rows, n_heads, n_chains, n_behaviors, size = gradient.shape
    flat, flat_sent = gradient.reshape(-1), sent.reshape(-1)
    for b in range(n_behaviors):
        for r in range(first, last):
            if scale[r, b] == 0:
                continue
            for c in range(n_chains):
                for k in range(n_behaviors):
                    target = (((b * n_rows + r) * n_chains + c) * n_behaviors + k) * size
                    for h in range(n_heads):
                        source = (((r * n_heads + h) * n_chains + c) * n_behaviors + k) * size
                        factor = weights[r, h, k, b] * scale[r, b]
                        if h == 0:
                            set_piece(flat_sent, target, factor, flat, source, size)
                        else:
                            add_piece(flat_sent, target, factor, flat, source, size)
