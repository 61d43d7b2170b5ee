"""Launch every kernel of propagation for a GPU that is not there, up to its machine code.

`python compile_for_gpu.py ARCH SHAPES`, ARCH 80 for A100, 90 for H100 and H200, SHAPES few or all:
Triton binds the very arguments that `gpu_sums` gives it and compiles, but nothing runs. Prints a
line for each kernel.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from cigf import compiled
from cigf.graph import gather_sum, gpu_edges, propagation
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.propagation import Propagation
from cigf.shapes import Nodes
from cigf.testing.toy import random_matrices

_DUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"

_SHAPES = ((4, 1, 16, 1), (3, 2, 5, 2), (1, 1, 64, 1))
"""Behaviors, chains, sizes of vectors and heads: of the usual model, of odd ones."""

_U, _I = 37, 41


class NoGPU:
    """What Triton asks of a driver before it would launch something."""

    def __init__(self, arch):
        self._target = GPUTarget("cuda", arch, 32)

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0

    def get_current_target(self):
        return self._target


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


def propagate(b, c, d, h, *, halves):
    """Both ways, forwards and backwards, for all nodes and for some."""
    matrices = random_matrices(n_users=_U, n_items=_I, n_behaviors=b)
    graph = BehaviorGraph.build(matrices)
    graph = graph.in_halves() if halves else graph
    for users, items in ((None, None), (torch.arange(3), torch.arange(4))):
        step = Propagation(graph, "row", users, items)
        x = torch.randn(_U + _I, c, b, d, requires_grad=True)
        rows = [_U, _I] if users is None else [3, 4]
        weights = Nodes(*(torch.randn(n, h, b, b, requires_grad=True) for n in rows))
        nodes = Nodes(x[:_U], x[_U:])
        total = sum(part.sum() for part in (*step.own(nodes), *step.mix(nodes, weights)))
        torch.autograd.grad(total, (x, *weights))
        some = step.mix(Nodes(*(each.detach() for each in nodes)), weights)
        torch.autograd.grad(some.users.sum() + some.items.sum(), tuple(weights))


def main(arch, shapes):
    """Compile what a few models need; rows are cut and not, and with "all", also halves."""
    made = {}

    def launch(kernel, grid):
        def bind(*arguments, **options):
            found = kernel.run(*arguments, grid=grid, warmup=True, **options)
            made[found.hash] = (kernel.fn.__name__, found.asm["cubin"])

        return bind

    driver.set_active(NoGPU(arch))
    JITFunction.__getitem__ = launch
    with patch.object(torch, "zeros", lambda *shape, device: torch.ones(shape)):
        assert compiled.lacking_for_gpu() == "", compiled.lacking_for_gpu()
    compiled.usable_on_gpu, compiled.usable = compiled.usable, lambda *tensors: False
    for module in (gather_sum, propagation):
        module.fastest = lambda operation, sizes, ways, device: next(iter(ways))
    propagate(*_SHAPES[0], halves=False)
    gpu_edges.PIECE = 8  # so that there are rows in pieces
    for shape in _SHAPES if shapes == "all" else _SHAPES[1:2]:
        propagate(*shape, halves=False)
    if shapes == "all":
        propagate(*_SHAPES[0], halves=True)
    for name, binary in made.values():
        print(name, taken(binary))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
