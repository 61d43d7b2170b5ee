"""The sum over layers of a convolution with residuals.

Axes: n nodes, B behaviors, D embedding size, L layers.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cigf.compiled import arrays, run, split_evenly, usable


def sum_layers(
    ego: Float[Tensor, "n D"], outputs: Sequence[Float[Tensor, "n B D"]]
) -> Float[Tensor, "n B D"]:
    """Return (L + 1) ego + L outputs[0] + (L - 1) outputs[1] + ... + outputs[L - 1].

    That is the sum of x^0 = ego and x^l = outputs[l - 1] + x^(l-1) for l from 1 to L.
    """
    if usable(ego, *outputs):
        out: Tensor = _SumLayers.apply(ego, *outputs)  # type: ignore[no-untyped-call]
        return out
    total = (len(outputs) + 1) * ego[:, None]
    for share, output in zip(_shares(len(outputs)), outputs, strict=True):
        total = torch.add(total, output, alpha=share)
    return total


class LayerSum:
    """`sum_layers` of outputs that come one after the other.

    Where no gradient is wanted, none is kept: they are added up as they come.

    Args:
        ego: Embeddings.
        n_layers: L.
    """

    def __init__(self, ego: Float[Tensor, "n D"], n_layers: int) -> None:
        self._ego = ego
        self._shares = iter(_shares(n_layers))
        self._outputs: list[Tensor] = []
        self._total: Tensor | None = None

    def add(self, output: Float[Tensor, "n B D"]) -> None:
        """Add the next layer's output."""
        if torch.is_grad_enabled():
            self._outputs.append(output)
            return
        share = next(self._shares)
        if self._total is None:
            self._total = torch.add((share + 1) * self._ego[:, None], output, alpha=share)
        else:
            self._total.add_(output, alpha=share)

    def result(self) -> Float[Tensor, "n B D"]:
        """Return the sum."""
        return sum_layers(self._ego, self._outputs) if self._total is None else self._total


def _shares(n_layers: int) -> range:
    return range(n_layers, 0, -1)


class _SumLayers(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, ego: Tensor, *outputs: Tensor) -> Tensor:
        from cigf.nn import layer_kernels  # needs numba

        out = torch.empty_like(outputs[0], memory_format=torch.contiguous_format)
        borders = split_evenly(len(out), out.shape[1])
        for share, x in zip(_shares(len(outputs)), outputs, strict=True):
            given, total = arrays(x.contiguous(), out)
            arguments = (given, np.float32(share), total)
            if x is outputs[0]:
                base = (*arrays(ego.contiguous()), np.float32(share + 1))
                run(layer_kernels.add_first, borders, *base, *arguments)
            else:
                run(layer_kernels.add_next, borders, *arguments)
        ctx.n_layers = len(outputs)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        from cigf.nn import layer_kernels  # needs numba

        gradient = gradients[0].contiguous()
        borders = split_evenly(len(gradient), gradient.shape[1])
        given = gradient.numpy()
        to_ego = gradient.new_empty(gradient.shape[0], gradient.shape[2])
        factor = np.float32(ctx.n_layers + 1)
        run(layer_kernels.sum_behaviors, borders, given, factor, to_ego.numpy())
        to_outputs = []
        for share in _shares(ctx.n_layers):
            part = gradient
            if share > 1:
                part = torch.empty_like(gradient)
                run(layer_kernels.scaled, borders, given, np.float32(share), part.numpy())
            to_outputs.append(part)
        return to_ego, *to_outputs
