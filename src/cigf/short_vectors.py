"""Operations on short pieces of flat arrays, for compiled kernels to be made of. Needs numba.

In whole vector registers as far as a piece fills them: left to itself the compiler prepares each
loop for the case that the pieces overlap and for many more numbers than a piece has, and spends
most of the time on that. Pieces are the same or do not overlap.

Indices are unsigned, because one that may be negative counts from the end: a case that the compiler
would have to tell apart for each element.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils as untyped
from numba.extending import intrinsic

from cigf.compiled import inlined

Array = Any
"""What numba is given; the functions that call kernels say the shapes."""

cgutils: Any = untyped  # has no types

_WIDE, _NARROW = 16, 8
"""Numbers of a step; the compiler splits or joins them where a machine's registers differ."""


def _pointer(context: Any, builder: Any, kind: Any, array: Any, at: Any, lanes: int) -> Any:
    """Where `lanes` numbers of a flat array begin, to be read or written together."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(
        builder.gep(data, [at]), ir.VectorType(ir.FloatType(), lanes).as_pointer()
    )


def splat(builder: Any, value: Any, lanes: int) -> Any:
    """Generate a vector of the same value in all lanes."""
    undefined = ir.Constant(ir.VectorType(ir.FloatType(), lanes), ir.Undefined)
    one = builder.insert_element(undefined, value, ir.IntType(32)(0))
    same = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    return builder.shuffle_vector(one, undefined, same)


def _scaled(lanes: int, *, add: bool) -> Any:
    """Return a function that sets, or adds to, `lanes` numbers of `out` a factor of others."""

    @intrinsic
    def scaled(typingctx: Any, out: Any, at: Any, factor: Any, source: Any, place: Any) -> Any:
        signature = types.void(out, types.uint64, types.float32, source, types.uint64)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            out, at, factor, source, place = arguments
            to = _pointer(context, builder, signature.args[0], out, at, lanes)
            origin = _pointer(context, builder, signature.args[3], source, place, lanes)
            value = builder.fmul(builder.load(origin, align=4), splat(builder, factor, lanes))
            if add:
                value = builder.fadd(builder.load(to, align=4), value)
            builder.store(value, to, align=4)
            return context.get_dummy_value()

        return signature, generate

    return scaled


def _dot(lanes: int) -> Any:
    """Return a function that takes the inner product of `lanes` numbers of two arrays."""

    @intrinsic
    def dot(typingctx: Any, x: Any, at: Any, y: Any, place: Any) -> Any:
        signature = types.float32(x, types.uint64, y, types.uint64)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            x, at, y, place = arguments
            left = _pointer(context, builder, signature.args[0], x, at, lanes)
            right = _pointer(context, builder, signature.args[2], y, place, lanes)
            total = builder.fmul(builder.load(left, align=4), builder.load(right, align=4))
            for half in _halvings(lanes):
                picks = ir.VectorType(ir.IntType(32), half)
                low, high = (
                    builder.shuffle_vector(
                        total,
                        ir.Constant(total.type, ir.Undefined),
                        ir.Constant(picks, list(range(first, first + half))),
                    )
                    for first in (0, half)
                )
                total = builder.fadd(low, high)
            return builder.extract_element(total, ir.IntType(32)(0))

        return signature, generate

    return dot


def _halvings(lanes: int) -> list[int]:
    return [lanes >> step for step in range(1, lanes.bit_length())]


def _scaled_piece(*, add: bool) -> Any:
    """Return a function that sets, or adds to, a piece of `out` a factor of one of `source`."""
    wide, narrow, single = (_scaled(lanes, add=add) for lanes in (_WIDE, _NARROW, 1))

    @inlined
    def piece(out: Array, at: int, factor: float, source: Array, place: int, size: int) -> None:
        to, origin, end = np.uint64(at), np.uint64(place), np.uint64(at + size)
        while to + np.uint64(_WIDE) <= end:
            wide(out, to, factor, source, origin)
            to += np.uint64(_WIDE)
            origin += np.uint64(_WIDE)
        if to + np.uint64(_NARROW) <= end:
            narrow(out, to, factor, source, origin)
            to += np.uint64(_NARROW)
            origin += np.uint64(_NARROW)
        while to < end:
            single(out, to, factor, source, origin)
            to += np.uint64(1)
            origin += np.uint64(1)

    return piece


add_piece = _scaled_piece(add=True)
"""out[at : at + size] += factor * source[place : place + size], given in the order of
out, at, factor, source, place, size."""

set_piece = _scaled_piece(add=False)
"""out[at : at + size] = factor * source[place : place + size], given likewise."""

_dot_wide, _dot_narrow, _dot_single = _dot(_WIDE), _dot(_NARROW), _dot(1)


@inlined
def dot_pieces(x: Array, at: int, y: Array, place: int, size: int) -> Any:
    """Inner product of x[at : at + size] and y[place : place + size]."""
    left, right, end = np.uint64(at), np.uint64(place), np.uint64(at + size)
    total = np.float32(0.0)
    while left + np.uint64(_WIDE) <= end:
        total += _dot_wide(x, left, y, right)
        left += np.uint64(_WIDE)
        right += np.uint64(_WIDE)
    if left + np.uint64(_NARROW) <= end:
        total += _dot_narrow(x, left, y, right)
        left += np.uint64(_NARROW)
        right += np.uint64(_NARROW)
    while left < end:
        total += _dot_single(x, left, y, right)
        left += np.uint64(1)
        right += np.uint64(1)
    return total
