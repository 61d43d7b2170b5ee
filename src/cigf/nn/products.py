"""Products of matrices, and inner products of many short vectors at once."""

from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cigf.compiled import usable


def product(x: Float[Tensor, "n m"], y: Float[Tensor, "m p"]) -> Float[Tensor, "n p"]:
    """Return x @ y; no gradient passes.

    By oneDNN where torch has it: its loops are made for the processor that runs them, MKL's take
    half of the width of the registers of processors that are not Intel's (twice as fast on Zen 5).
    """
    if x.numel() and usable(x, y) and _has_onednn():
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, y.T, None, "none", [], "")
        return out
    return x @ y


@cache
def _has_onednn() -> bool:
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def short_dots(
    x: Float[Tensor, "n F"], y: Float[Tensor, "s n F"], size: int
) -> Float[Tensor, "s n E"]:
    """Return the inner products of the E = F / size pieces of each row of x and of each y[s].

    The same as `(x * y).view(s, n, E, size).sum(3)`, several times faster: a reduction over a short
    last axis is slow, a product with a vector of ones is not.
    """
    out: Tensor = _ShortDots.apply(x, y, size)  # type: ignore[no-untyped-call]
    return out


class _ShortDots(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, size: int) -> Tensor:
        ctx.size = size
        ctx.save_for_backward(x, y)
        products = (x * y).view(-1, size) @ x.new_ones(size)
        return products.view(*y.shape[:2], x.shape[1] // size)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        x, y = ctx.saved_tensors
        pieces = (-1, ctx.size)
        gradient = gradients[0].unsqueeze(3)
        to_x = (y.unflatten(2, pieces) * gradient).sum(0).view_as(x)
        to_y = (x.unflatten(1, pieces) * gradient).view_as(y)
        return to_x, to_y, None
