"""The mean of the powers of a symmetric matrix over the nodes: LightGCN's propagation.

Axes: U users, I items, D embedding size.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cigf.graph.adjacency import Adjacency
from cigf.shapes import Nodes


def mean_of_powers(steps: Sequence[Adjacency], x: Nodes, n_layers: int) -> Nodes:
    """Return (x + S x + ... + S^L x) / (L + 1), where S is the mean of some symmetric matrices.

    The map is symmetric itself, so its gradient is the map once more: nothing is kept for it.

    Args:
        steps: The matrices, each symmetric (normalization "symmetric", or "none").
        x: Vectors, (U, D) and (I, D).
        n_layers: L.
    """
    users, items = _MeanOfPowers.apply(*x, steps, n_layers)  # type: ignore[no-untyped-call]
    return Nodes(users, items)


class _MeanOfPowers(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, users: Tensor, items: Tensor, steps: Sequence[Adjacency], n_layers: int
    ) -> tuple[Tensor, Tensor]:
        ctx.steps, ctx.n_layers = steps, n_layers
        return _mean_of_powers(steps, Nodes(users, items), n_layers)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        gradient = Nodes(*(each.contiguous() for each in gradients))
        return (*_mean_of_powers(ctx.steps, gradient, ctx.n_layers), None, None)


def _mean_of_powers(
    steps: Sequence[Adjacency], x: Nodes, n_layers: int
) -> tuple[Float[Tensor, "U D"], Float[Tensor, "I D"]]:
    total = x.map(torch.clone)
    for _ in range(n_layers):
        x = _mean([step(x) for step in steps])
        for side, power in zip(total, x, strict=True):
            side.add_(power)
    return total.users.div_(n_layers + 1), total.items.div_(n_layers + 1)


def _mean(several: Sequence[Nodes]) -> Nodes:
    if len(several) == 1:
        return several[0]
    return Nodes(
        torch.stack([each.users for each in several]).mean(0),
        torch.stack([each.items for each in several]).mean(0),
    )
