"""The innermost loop, in the compiler's own language: sums of a table's rows in vector registers.

Written out because a compiler that is given the loop in Python keeps the sums in memory, which is
three times slower. Needs numba; nothing but `graph.kernels` imports it.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils as untyped
from numba.extending import intrinsic

from cigf.short_vectors import splat

LANES = 8
"""Floats of a vector register; the compiler splits or joins where a machine has others."""

NARROW = 2 * LANES
"""Numbers of the widest narrow row."""

_AHEAD_NEAR, _AHEAD_FAR = 24, 64
"""Edges between a row's address being known and its use: for a table that caches hold, and for a
larger one, twice as many where its rows are narrow. Fewer leave a core waiting for main memory: at
Taobao's size 16 make a pass half as long again. More push out of the nearest cache what was asked
for before: on Taobao-15K 64 make a pass up to a fifth longer."""

_CACHE_LINE = 64

cgutils: Any = untyped  # has no types

_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_HALVES = ir.VectorType(ir.HalfType(), LANES)


def block_sum(size: int) -> Any:
    """Return a function for kernels that sums a block of `size` columns.

    `f(table, first, width, indices, start, stop, near, factor, add, out, place)` sets
    `out[place + d]`, for d < size, to the sum of `table[first + indices[e] * width + d]` over the
    edges e from start to stop, times a factor; or adds that, if `add`. Arrays are flat; `size` is a
    multiple of `LANES`. A table of 16-bit integers holds the bits of half-precision numbers; sums
    are in single precision.

    Rows are asked for before they are needed, soon before if the table is `near`: of tables larger
    than the caches that doubles the rate and more, of smaller ones it saves a quarter.

    Args:
        size: Number of columns.
    """
    vectors = range(size // LANES)
    far = _AHEAD_FAR if size > NARROW else 2 * _AHEAD_FAR

    @intrinsic
    def add_block(
        typingctx: Any,
        table: Any,
        first: Any,
        width: Any,
        indices: Any,
        start: Any,
        stop: Any,
        near: Any,
        factor: Any,
        add: Any,
        out: Any,
        place: Any,
    ) -> Any:
        integer = types.int64
        signature = types.void(
            *(table, integer, integer, indices, integer, integer),
            *(types.boolean, types.float32, types.boolean, out, integer),
        )

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kinds = signature.args
            data, columns, sums = (
                context.make_array(kinds[at])(context, builder, arguments[at]) for at in (0, 3, 9)
            )
            _, first, width, _, start, stop, near, factor, add, _, place = arguments
            halves = kinds[0].dtype == types.uint16
            n_edges = cgutils.unpack_tuple(builder, columns.shape)[0]
            near = cgutils.as_bool_bit(builder, near)
            ahead = builder.select(near, _I64(_AHEAD_NEAR), _I64(far))
            # The last rows' edges have none so far ahead: theirs are asked for when they are read.
            within = builder.icmp_signed("<=", builder.add(stop, ahead), n_edges)
            ahead = builder.select(within, ahead, _I64(0))

            def row(edge: Any) -> Any:
                column = builder.sext(builder.load(builder.gep(columns.data, [edge])), _I64)
                place = builder.add(first, builder.mul(column, width))
                return builder.gep(data.data, [place])

            def vector(pointer: Any, number: int) -> Any:
                pointer = builder.bitcast(pointer, _VECTOR.as_pointer())
                return builder.gep(pointer, [_I64(number)])

            def read(pointer: Any, number: int) -> Any:
                if not halves:
                    return builder.load(vector(pointer, number), align=4)
                pointer = builder.bitcast(pointer, _HALVES.as_pointer())
                few = builder.load(builder.gep(pointer, [_I64(number)]), align=2)
                return builder.fpext(few, _VECTOR)

            before = builder.block
            loop = builder.append_basic_block("edges")
            done = builder.append_basic_block("done")
            builder.cbranch(builder.icmp_signed("<", start, stop), loop, done)

            zero = ir.Constant(_VECTOR, [0.0] * LANES)
            builder.position_at_end(loop)
            edge = builder.phi(_I64)
            totals = [builder.phi(_VECTOR) for _ in vectors]
            edge.add_incoming(start, before)
            pointer = row(edge)
            _prefetch(builder, row(builder.add(edge, ahead)), size * (2 if halves else 4))
            sums_after = [
                builder.fadd(total, read(pointer, number)) for number, total in enumerate(totals)
            ]
            following = builder.add(edge, _I64(1))
            edge.add_incoming(following, loop)
            builder.cbranch(builder.icmp_signed("<", following, stop), loop, done)

            builder.position_at_end(done)
            results = [builder.phi(_VECTOR) for _ in vectors]
            for phis in (totals, results):
                for phi, after in zip(phis, sums_after, strict=True):
                    phi.add_incoming(zero, before)
                    phi.add_incoming(after, loop)
            target = builder.gep(sums.data, [place])
            factors = splat(builder, factor, LANES)
            for number, result in enumerate(results):
                held = builder.load(vector(target, number), align=4)
                held = builder.select(cgutils.as_bool_bit(builder, add), held, zero)
                result = builder.fadd(held, builder.fmul(result, factors))
                builder.store(result, vector(target, number), align=4)
            return context.get_dummy_value()

        return signature, generate

    return add_block


def _put_halves(typingctx: Any, out: Any, at: Any, source: Any, place: Any, factor: Any) -> Any:
    """Set out[at + d] to the half-precision bits of factor * source[place + d], for d < `LANES`."""
    signature = types.void(out, types.int64, source, types.int64, types.float32)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = signature.args
        target, given = (
            context.make_array(kinds[number])(context, builder, arguments[number]).data
            for number in (0, 2)
        )
        _, at, _, place, factor = arguments
        pointer = builder.bitcast(builder.gep(given, [place]), _VECTOR.as_pointer())
        value = builder.fmul(builder.load(pointer, align=4), splat(builder, factor, LANES))
        pointer = builder.bitcast(builder.gep(target, [at]), _HALVES.as_pointer())
        builder.store(builder.fptrunc(value, _HALVES), pointer, align=2)
        return context.get_dummy_value()

    return signature, generate


put_halves: Any = intrinsic(_put_halves)


def _prefetch(builder: Any, pointer: Any, n_bytes: int) -> None:
    """Ask for the cache lines of a block: for reading, to be kept in all caches, as data."""
    byte = _I8.as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, _I32, _I32, _I32])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    pointer = builder.bitcast(pointer, byte)
    for offset in range(0, n_bytes, _CACHE_LINE):
        builder.call(function, [builder.gep(pointer, [_I64(offset)]), _I32(0), _I32(3), _I32(1)])
