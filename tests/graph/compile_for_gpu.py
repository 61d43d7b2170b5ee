"""Compile every kernel of propagation for a GPU that need not be there; print what it takes.

`python compile_for_gpu.py ARCH`, ARCH 80 for A100, 90 for H100 and H200.
"""

import inspect
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from cigf.graph import gpu_kernels as kernels

_WHOLE_NUMBERS = ("indices", "position", "first", "starts", "stops", "behaviors", "wanted")
"""Arguments that are pointers to int32."""

_DUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"


def compiled(kernel, arch, warps, **constants):
    """Compile with what the launcher finds out by itself: that memory begins at multiples of 16."""
    names = list(inspect.signature(kernel.fn).parameters)

    def kind(name):
        if name in constants:
            return "constexpr"
        if name in ("table_step", "n_rows"):
            return "i64" if name == "table_step" else "i32"
        return "*i32" if name in _WHOLE_NUMBERS else "*fp32"

    source = ASTSource(
        kernel,
        signature={name: kind(name) for name in names},
        constexprs=constants,
        attrs={
            (place,): [["tt.divisibility", 16]]
            for place, name in enumerate(names)
            if kind(name).startswith("*")
        },
    )
    options = {"num_warps": warps, "enable_fp_fusion": True}
    return triton.compile(source, target=GPUTarget("cuda", arch, 32), options=options)


def taken(binary):
    """Registers of a thread, and bytes that did not fit in them."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary)
        file.flush()
        words = [str(_DUMP), "-res-usage", file.name]
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    registers, stack, local = (
        int(re.search(rf"{name}:(\d+)", said)[1]) for name in ("REG", "STACK", "LOCAL")
    )
    return f"registers {registers} spilled {stack + local}"


def variants():
    """Kernels with the numbers that `gpu_sums` gives them, for usual and for odd models."""
    for b, c, d, h in ((4, 1, 16, 1), (3, 2, 5, 2)):
        width = b * c * d
        block = 1 << (width - 1).bit_length()
        heads, chains, size = (1 << (n - 1).bit_length() for n in (h, b, d))
        shape = {"W": width, "EDGES": max(1, min(32, 1024 // block)), "BLOCK": block}
        for moved in (False, True):
            yield kernels.sum_pieces, 1, {**shape, "MOVED": moved, "SOME": moved}
            for piece in (0, 1024):
                every = {**shape, "B": b, "MOVED": moved, "PIECE": piece}
                yield kernels.gather_each, 1, every
                yield kernels.gather_total, 1, every
                yield kernels.mix_forward, 1, {**every, "D": d, "H": h, "HEADS": heads}
        rows = max(1, 1024 // (chains * size))
        tile = {"ROWS": rows, "CHAINS": chains, "SIZE": size}
        yield kernels.mix_backward, 4, {"B": b, "C": c, "D": d, "H": h, **tile}


if __name__ == "__main__":
    for kernel, warps, constants in variants():
        found = compiled(kernel, int(sys.argv[1]), warps, **constants)
        print(kernel.fn.__name__, constants, taken(found.asm["cubin"]))
