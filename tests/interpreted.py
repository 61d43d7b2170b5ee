"""The GPU's kernels on the CPU: Triton's interpreter runs them on NumPy arrays, slowly."""

from functools import cache

import numpy as np
import pytest
import torch

from cigf import compiled
from cigf.graph import gather_sum, propagation

OLD_TRITON = pytest.mark.filterwarnings("ignore:Conversion of an array with ndim > 0 to a scalar")
"""To mark tests with: Triton's interpreter does so before 3.7, and NumPy before 2.4 minds."""


def version(package):
    """Return the first two numbers of a package's version."""
    return tuple(int(number) for number in package.__version__.split(".")[:2])


def interpreted(monkeypatch):
    """Send every sum along edges through the GPU's kernels, interpreted."""
    if torch.cuda.is_available():
        pytest.skip("the kernels run on the GPU here, in the tests that are marked gpu")
    triton = pytest.importorskip("triton")
    if version(triton) < (3, 7) and version(np) >= (2, 4):
        pytest.skip("before Triton 3.7 the interpreter asks for what NumPy 2.4 no longer does")
    for module in (gather_sum, propagation):  # the interpreter is not the fastest way
        monkeypatch.setattr(
            module, "fastest", lambda operation, sizes, ways, device: next(iter(ways))
        )
    call_at_once(monkeypatch)
    monkeypatch.setattr(compiled, "usable_on_gpu", compiled.usable)
    monkeypatch.setattr(compiled, "usable", lambda *tensors: False)


def call_at_once(monkeypatch):
    """Call kernels' functions without Triton's language being prepared for each call anew.

    A launch prepares the language; that the interpreter does so again in each of a thousand calls
    takes a quarter of the time.
    """
    from triton.runtime import interpreter

    prepared = cache(interpreter._patch_lang)  # the first call prepares what a launch does not

    def call(function, *arguments, **options):
        prepared(function.fn)
        return function.rewrite()(*arguments, **options)

    monkeypatch.setattr(interpreter.InterpretedFunction, "__call__", call)
