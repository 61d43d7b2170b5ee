"""Kernels of propagation for a GPU: several behaviors' edges, one program per row. Needs triton.

A program reads `EDGES` rows of a table at a time, `BLOCK` numbers of each, and adds them up in its
registers; a row's sums are always taken in the same order, so results do not depend on chance.

Axes: B behaviors, H heads, C chains, D size, W = C * B * D or another width of a table's rows.
Tables are (1, columns, W), the same for all behaviors (`table_step` 0), or (B, columns, W).
`starts`, `stops`, `indices`, `position` and the pieces are those of `gpu_edges.GPUEdges`. PIECE
is 0 where no row is cut.
"""

import triton.language as tl

from cigf.compiled import gpu_kernel


@gpu_kernel
def _rows_sum(
    table: tl.tensor,
    indices: tl.tensor,
    position: tl.tensor,
    start: tl.tensor,
    stop: tl.tensor,
    columns: tl.tensor,
    W: tl.constexpr,
    EDGES: tl.constexpr,
    BLOCK: tl.constexpr,
    MOVED: tl.constexpr,
) -> tl.tensor:
    """Sum some columns of the table's rows indices[start], ..., indices[stop - 1]."""
    lanes = tl.arange(0, EDGES)
    inside = (columns < W)[None, :]
    total = tl.zeros((EDGES, BLOCK), tl.float32)
    for at in range(start, stop, EDGES):
        there = at + lanes < stop
        row = tl.load(indices + at + lanes, mask=there, other=0).to(tl.int64)
        if MOVED:
            row = tl.load(position + row, mask=there, other=-1).to(tl.int64)
            there = row >= 0
        place = row[:, None] * W + columns[None, :]
        total += tl.load(table + place, mask=there[:, None] & inside, other=0.0).to(tl.float32)
    return tl.sum(total, 0)


@gpu_kernel
def _pieces_sum(
    pieces: tl.tensor,
    start: tl.tensor,
    stop: tl.tensor,
    columns: tl.tensor,
    W: tl.constexpr,
    EDGES: tl.constexpr,
    BLOCK: tl.constexpr,
    PIECE: tl.constexpr,
) -> tl.tensor:
    """Sum some columns of the pieces' sums from `start` on that make up stop - start edges."""
    n_pieces = (stop - start + PIECE - 1) // PIECE
    lanes = tl.arange(0, EDGES)
    inside = (columns < W)[None, :]
    total = tl.zeros((EDGES, BLOCK), tl.float32)
    for at in range(0, n_pieces, EDGES):
        there = (at + lanes < n_pieces)[:, None]
        place = (at + lanes).to(tl.int64)[:, None] * W + columns[None, :]
        total += tl.load(pieces + place, mask=there & inside, other=0.0)
    return tl.sum(total, 0)


@gpu_kernel
def _sum(
    tables: tl.tensor,
    table_step: tl.tensor,
    indices: tl.tensor,
    position: tl.tensor,
    pieces: tl.tensor,
    first: tl.tensor,
    starts: tl.tensor,
    stops: tl.tensor,
    scale: tl.tensor,
    n_rows: tl.tensor,
    row: tl.tensor,
    behavior: tl.constexpr,
    columns: tl.tensor,
    B: tl.constexpr,
    W: tl.constexpr,
    EDGES: tl.constexpr,
    BLOCK: tl.constexpr,
    MOVED: tl.constexpr,
    PIECE: tl.constexpr,
) -> tl.tensor:
    """scale[row, behavior] times the sum of a row's neighbors, or of its pieces' sums."""
    which = tl.full((), behavior, tl.int64)  # products of what the launcher passes are of 32 bits
    place = which * n_rows + row
    table = tables + which * table_step
    start, stop = tl.load(starts + place).to(tl.int64), tl.load(stops + place).to(tl.int64)
    if PIECE > 0:
        piece = tl.load(first + place).to(tl.int64)
        if piece >= 0:
            total = _pieces_sum(pieces + piece * W, start, stop, columns, W, EDGES, BLOCK, PIECE)
        else:
            total = _rows_sum(
                table, indices, position, start, stop, columns, W, EDGES, BLOCK, MOVED
            )
    else:
        total = _rows_sum(table, indices, position, start, stop, columns, W, EDGES, BLOCK, MOVED)
    return tl.load(scale + row * B + behavior) * total


@gpu_kernel
def sum_pieces(
    tables: tl.tensor,
    table_step: tl.tensor,
    indices: tl.tensor,
    position: tl.tensor,
    behaviors: tl.tensor,
    starts: tl.tensor,
    stops: tl.tensor,
    wanted: tl.tensor,
    out: tl.tensor,
    W: tl.constexpr,
    EDGES: tl.constexpr,
    BLOCK: tl.constexpr,
    MOVED: tl.constexpr,
    SOME: tl.constexpr,
) -> None:
    """out[piece] = sum of the piece's edges; 0 where its row is not wanted. (pieces, W)."""
    piece = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    behavior = tl.load(behaviors + piece).to(tl.int64)
    start, stop = tl.load(starts + piece).to(tl.int64), tl.load(stops + piece).to(tl.int64)
    if SOME:
        stop = tl.where(tl.load(wanted + piece) != 0, stop, start)
    table = tables + behavior * table_step
    total = _rows_sum(table, indices, position, start, stop, columns, W, EDGES, BLOCK, MOVED)
    tl.store(out + piece * W + columns, total, mask=columns < W)


@gpu_kernel
def gather(
    tables: tl.tensor,
    table_step: tl.tensor,
    indices: tl.tensor,
    position: tl.tensor,
    pieces: tl.tensor,
    first: tl.tensor,
    starts: tl.tensor,
    stops: tl.tensor,
    scale: tl.tensor,
    out: tl.tensor,
    n_rows: tl.tensor,
    B: tl.constexpr,
    W: tl.constexpr,
    EDGES: tl.constexpr,
    BLOCK: tl.constexpr,
    MOVED: tl.constexpr,
    PIECE: tl.constexpr,
    TOTAL: tl.constexpr,
) -> None:
    """out[r, b] = scale[r, b] * sum of b's table over r's edges under b; (rows, B, W).

    With TOTAL, the sum of that over b, (rows, W).
    """
    row = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    result = tl.zeros((BLOCK,), tl.float32)
    for behavior in tl.static_range(B):
        total = _sum(
            tables, table_step, indices, position, pieces, first, starts, stops, scale,
            n_rows, row, behavior, columns, B, W, EDGES, BLOCK, MOVED, PIECE,
        )  # fmt: skip
        if TOTAL:
            result += total
        else:
            tl.store(out + (row * B + behavior) * W + columns, total, mask=columns < W)
    if TOTAL:
        tl.store(out + row * W + columns, result, mask=columns < W)


@gpu_kernel
def mix_forward(
    tables: tl.tensor,
    table_step: tl.tensor,
    indices: tl.tensor,
    position: tl.tensor,
    pieces: tl.tensor,
    first: tl.tensor,
    starts: tl.tensor,
    stops: tl.tensor,
    scale: tl.tensor,
    out: tl.tensor,
    n_rows: tl.tensor,
    weights: tl.tensor,
    gathered: tl.tensor,
    B: tl.constexpr,
    D: tl.constexpr,
    H: tl.constexpr,
    W: tl.constexpr,
    EDGES: tl.constexpr,
    BLOCK: tl.constexpr,
    HEADS: tl.constexpr,
    MOVED: tl.constexpr,
    PIECE: tl.constexpr,
) -> None:
    """`fused.Sums.mix`: gathered as by `gather`, and out[r, h, w] its weighted sum over b.

    The weight is weights[r, h, k, b], where k is the behavior whose chain w belongs to. Rows
    without edges under a behavior are never written to `gathered`, nor read.
    Shapes: weights (rows, H, B, B); gathered (rows, B, W); out (rows, H, W). HEADS and BLOCK are
    powers of two.
    """
    row = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    heads = tl.arange(0, HEADS)
    inside = columns < W
    both = (heads < H)[:, None] & inside[None, :]
    chain = (columns // D) % B
    result = tl.zeros((HEADS, BLOCK), tl.float32)
    for behavior in tl.static_range(B):
        own = row + behavior * n_rows
        if tl.load(starts + own) < tl.load(stops + own):
            total = _sum(
                tables, table_step, indices, position, pieces, first, starts, stops, scale,
                n_rows, row, behavior, columns, B, W, EDGES, BLOCK, MOVED, PIECE,
            )  # fmt: skip
            tl.store(gathered + (row * B + behavior) * W + columns, total, mask=inside)
            place = ((row * H + heads)[:, None] * B + chain[None, :]) * B + behavior
            result += tl.load(weights + place, mask=both, other=0.0) * total[None, :]
    tl.store(out + (row * H + heads)[:, None] * W + columns[None, :], result, mask=both)


@gpu_kernel
def mix_backward(
    starts: tl.tensor,
    stops: tl.tensor,
    scale: tl.tensor,
    gradient: tl.tensor,
    weights: tl.tensor,
    gathered: tl.tensor,
    weight_gradient: tl.tensor,
    factor: tl.tensor,
    sent: tl.tensor,
    n_rows: tl.tensor,
    B: tl.constexpr,
    C: tl.constexpr,
    D: tl.constexpr,
    H: tl.constexpr,
    SENDS: tl.constexpr,
    ROWS: tl.constexpr,
    CHAINS: tl.constexpr,
    SIZE: tl.constexpr,
) -> None:
    """The gradient of `mix_forward` as far as the receiving rows: ROWS of them per program.

    Shapes: gradient (rows, H, C, B, D); weights and their gradient (rows, H, B, B); sent (B, rows,
    C, B, D), what each row sends back along its edges, times `factor`, one number; not written for
    rows without edges, nor at all without SENDS. ROWS, CHAINS >= B and SIZE >= D are powers of two.
    """
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    chain, number = tl.arange(0, CHAINS), tl.arange(0, SIZE)
    inside = row < n_rows
    # Axes from here on: rows, chains' behaviors k, numbers of a vector.
    fit = (chain < B)[None, :, None] & (number < D)[None, None, :]
    within = chain[None, :, None] * D + number[None, None, :]
    by_row, known = row[:, None, None], inside[:, None] & (chain < B)[None, :]
    times = tl.load(factor)
    for behavior in tl.static_range(B):
        start = tl.load(starts + behavior * n_rows + row, mask=inside, other=0)
        stop = tl.load(stops + behavior * n_rows + row, mask=inside, other=0)
        linked = inside & (start < stop)
        there = linked[:, None, None] & fit
        share = times * tl.load(scale + row * B + behavior, mask=linked, other=0.0)
        for head in tl.static_range(H):
            dots = tl.zeros((ROWS, CHAINS), tl.float32)
            for c in tl.static_range(C):
                at = ((by_row * H + head) * C + c) * (B * D) + within
                mine = tl.load(gradient + at, mask=there, other=0.0)
                at = ((by_row * B + behavior) * C + c) * (B * D) + within
                dots += tl.sum(mine * tl.load(gathered + at, mask=there, other=0.0), 2)
            at = ((row * H + head)[:, None] * B + chain[None, :]) * B + behavior
            tl.store(weight_gradient + at, dots, mask=known)
        if SENDS:
            for c in tl.static_range(C):
                total = tl.zeros((ROWS, CHAINS, SIZE), tl.float32)
                for head in tl.static_range(H):
                    at = ((row * H + head)[:, None] * B + chain[None, :]) * B + behavior
                    weight = tl.load(weights + at, mask=linked[:, None] & known, other=0.0)
                    at = ((by_row * H + head) * C + c) * (B * D) + within
                    total += weight[:, :, None] * tl.load(gradient + at, mask=there, other=0.0)
                total *= share[:, None, None]
                at = ((behavior * n_rows + by_row) * C + c) * (B * D) + within
                tl.store(sent + at, total.to(sent.dtype.element_ty), mask=there)
