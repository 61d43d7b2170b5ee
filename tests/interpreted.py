"""The GPU's kernels on the CPU: Triton's interpreter runs them on NumPy arrays, slowly."""

import pytest
import torch

from cigf import compiled
from cigf.graph import gather_sum, propagation


def interpreted(monkeypatch):
    """Send every sum along edges through the GPU's kernels, interpreted."""
    if torch.cuda.is_available():
        pytest.skip("the kernels run on the GPU here, in the tests that are marked gpu")
    pytest.importorskip("triton")
    for module in (gather_sum, propagation):  # the interpreter is not the fastest way
        monkeypatch.setattr(
            module, "fastest", lambda operation, sizes, ways, device: next(iter(ways))
        )
    monkeypatch.setattr(compiled, "usable_on_gpu", compiled.usable)
    monkeypatch.setattr(compiled, "usable", lambda *tensors: False)
