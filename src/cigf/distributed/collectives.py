"""Gathering rows and adding up inside autograd: each operation's gradient is the other one.

Axes: R ranks, S rows that each rank holds.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from cigf.distributed.exchange import Ranks


def gather_rows(ranks: Ranks, own: Tensor) -> Tensor:
    """Return all ranks' rows (R S, ...) of a tensor (S, ...); gradients go back to their owners."""
    return returned(ranks, own, ranks.gather(own)[0].clone())  # it may be kept for the gradient


def returned(ranks: Ranks, own: Tensor, table: Tensor) -> Tensor:
    """Return a gathered table (R S, ...), whose gradients go back to the rows' owners."""
    out: Tensor = _Returned.apply(own, table, ranks)  # type: ignore[no-untyped-call]
    return out


def sum_losses(ranks: Ranks, losses: Tensor) -> Tensor:
    """Return the sum over the ranks; its gradient is each rank's own."""
    out: Tensor = _SumLosses.apply(losses, ranks)  # type: ignore[no-untyped-call]
    return out


def share_weights(ranks: Ranks, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights that all ranks have alike, with gradients that are summed over the ranks."""
    if not weights:
        return {}
    shared = _SumGradients.apply(ranks, *weights.values())  # type: ignore[no-untyped-call]
    return dict(zip(weights, shared, strict=True))


class _Returned(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, table: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return table.view_as(table)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return ctx.ranks.reduce(gradients[0]), None, None


class _SumLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, losses: Tensor, ranks: Ranks) -> Tensor:
        return ranks.total(losses)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


class _SumGradients(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, ranks: Ranks, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.ranks = ranks
        ctx.set_materialize_grads(False)  # a weight that nothing uses gets none, as by one process
        return tuple(weight.view_as(weight) for weight in weights)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        used = [each for each in gradients if each is not None]
        flat = ctx.ranks.total(torch.cat([each.flatten() for each in used]))
        parts = iter(torch.split(flat, [each.numel() for each in used]))
        return None, *(None if each is None else next(parts).view_as(each) for each in gradients)
