"""The GPU's kernels on the CPU: Triton's interpreter runs them on NumPy arrays, slowly."""

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
    monkeypatch.setattr(compiled, "usable_on_gpu", compiled.usable)
    monkeypatch.setattr(compiled, "usable", lambda *tensors: False)
