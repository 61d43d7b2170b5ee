"""The innermost loop, in the compiler's own language: sums of a table's rows in vector registers.

Written out because a compiler that is given the loop in Python keeps the sums in memory, which is
three times slower. Needs numba; nothing but `graph.kernels` imports it.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils as untyped
from numba.extending import intrinsic

LANES = 8
"""Floats of a vector register; the compiler splits or joins where a machine has others."""

_PREFETCH_AHEAD = 16
"""Edges between a row's address being known and its use."""

_CACHE_LINE = 64

cgutils: Any = untyped  # has no types

_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_VECTOR = ir.VectorType(ir.FloatType(), LANES)


def block_sum(size: int, *, prefetch: bool) -> Any:
    """Return a function for kernels that sums a block of `size` columns.

    `f(table, first, width, indices, start, stop, factor, add, out, place)` sets `out[place + d]`,
    for d < size, to the sum of `table[first + indices[e] * width + d]` over the edges e from start
    to stop, times a factor; or adds that, if `add`. Arrays are flat; `size` is a multiple of
    `LANES`.

    Args:
        size: Number of columns.
        prefetch: Whether to ask for rows before they are needed, which pays for tables that are
            larger than the second cache.
    """
    vectors = range(size // LANES)

    @intrinsic
    def add_block(
        typingctx: Any,
        table: Any,
        first: Any,
        width: Any,
        indices: Any,
        start: Any,
        stop: Any,
        factor: Any,
        add: Any,
        out: Any,
        place: Any,
    ) -> Any:
        integer = types.int64
        signature = types.void(
            *(table, integer, integer, indices, integer, integer),
            *(types.float32, types.boolean, out, integer),
        )

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kinds = signature.args
            data, columns, sums = (
                context.make_array(kinds[at])(context, builder, arguments[at]) for at in (0, 3, 8)
            )
            _, first, width, _, start, stop, factor, add, _, place = arguments
            last = builder.sub(cgutils.unpack_tuple(builder, columns.shape)[0], _I64(1))

            def row(edge: Any) -> Any:
                column = builder.sext(builder.load(builder.gep(columns.data, [edge])), _I64)
                place = builder.add(first, builder.mul(column, width))
                return builder.gep(data.data, [place])

            def vector(pointer: Any, number: int) -> Any:
                pointer = builder.bitcast(pointer, _VECTOR.as_pointer())
                return builder.gep(pointer, [_I64(number)])

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
            if prefetch:
                later = builder.add(edge, _I64(_PREFETCH_AHEAD))
                later = builder.select(builder.icmp_signed("<", later, last), later, last)
                _prefetch(builder, row(later), size)
            sums_after = [
                builder.fadd(total, builder.load(vector(pointer, number), align=4))
                for number, total in enumerate(totals)
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
            factors = _splat(builder, factor)
            for number, result in enumerate(results):
                held = builder.load(vector(target, number), align=4)
                held = builder.select(cgutils.as_bool_bit(builder, add), held, zero)
                result = builder.fadd(held, builder.fmul(result, factors))
                builder.store(result, vector(target, number), align=4)
            return context.get_dummy_value()

        return signature, generate

    return add_block


def _splat(builder: Any, value: Any) -> Any:
    """A vector of the same value in all lanes."""
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    one = builder.insert_element(undefined, value, _I32(0))
    lanes = ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES)
    return builder.shuffle_vector(one, undefined, lanes)


def _prefetch(builder: Any, pointer: Any, size: int) -> None:
    """Ask for the cache lines of a block: for reading, to be kept in all caches, as data."""
    byte = _I8.as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, _I32, _I32, _I32])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    pointer = builder.bitcast(pointer, byte)
    for offset in range(0, 4 * size, _CACHE_LINE):
        builder.call(function, [builder.gep(pointer, [_I64(offset)]), _I32(0), _I32(3), _I32(1)])
