"""Products by oneDNN equal those written out; shapes may be empty or transposed."""

import pytest
import torch

from cigf.compiled import switched
from cigf.nn import products
from cigf.nn.products import product


@pytest.mark.parametrize("kernels", [True, False])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (7, 33, 5), (86, 97, 1088), (0, 3, 4), (3, 4, 0)])
def test_products_are_those_written_out(sizes, kernels):
    n, m, p = sizes
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(n, m, generator=generator), torch.randn(m, p, generator=generator)
    expected = (x[:, :, None].double() * y.double()).sum(1)
    with switched(on=kernels):
        for left in (x, x.T.contiguous().T):
            for right in (y, y.T.contiguous().T):
                found = product(left, right)
                torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-4)


def test_products_of_doubles_stay_exact():
    x, y = torch.rand(3, 4, dtype=torch.float64), torch.rand(4, 5, dtype=torch.float64)
    torch.testing.assert_close(product(x, y), x @ y, rtol=0, atol=0)


def test_without_onednn_torch_multiplies(monkeypatch):
    monkeypatch.setattr(products, "_has_onednn", lambda: False)
    x, y = torch.rand(3, 4), torch.rand(4, 5)
    torch.testing.assert_close(product(x, y), x @ y, rtol=0, atol=0)
