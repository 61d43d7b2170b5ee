"""The sum over layers equals the residuals added one after the other."""

import pytest
import torch

from cigf.compiled import switched
from cigf.nn.layer_sum import LayerSum, sum_layers


@pytest.mark.parametrize("on", [True, False], ids=["compiled", "torch"])
@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_equals_the_residuals_one_after_the_other(n_layers, on):
    ego = torch.randn(7, 5, requires_grad=True)
    outputs = [torch.randn(7, 3, 5, requires_grad=True) for _ in range(n_layers)]
    with switched(on=on):
        found = sum_layers(ego, outputs)
    x = ego[:, None].expand(-1, 3, -1)
    expected = x
    for output in outputs:
        x = output + x
        expected = expected + x
    torch.testing.assert_close(found, expected)
    upstream = torch.randn(7, 3, 5)
    mine = torch.autograd.grad(found, (ego, *outputs), upstream)
    theirs = torch.autograd.grad(expected, (ego, *outputs), upstream)
    for gradient, wanted in zip(mine, theirs, strict=True):
        torch.testing.assert_close(gradient, wanted)


@pytest.mark.parametrize("n_layers", [1, 3])
def test_outputs_that_come_one_after_the_other_have_the_same_sum(n_layers):
    ego = torch.randn(7, 5)
    outputs = [torch.randn(7, 3, 5) for _ in range(n_layers)]
    for learns in (True, False):
        total = LayerSum(ego, n_layers)
        with torch.set_grad_enabled(learns):
            for output in outputs:
                total.add(output)
            torch.testing.assert_close(total.result(), sum_layers(ego, outputs))
        assert len(total._outputs) == (n_layers if learns else 0)
