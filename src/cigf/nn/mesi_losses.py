"""MESI with its pairwise loss in one piece, by compiled kernels. Needs numba.

Axes: u users, I items, B behaviors, D size, n pairs.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cigf.compiled import run, split, split_evenly
from cigf.nn import mesi_kernels as kernels
from cigf.shapes import Pairs


def mesi_losses(
    users: tuple[Float[Tensor, "u BD"], Float[Tensor, "u BB"]],
    items: tuple[Float[Tensor, "I BD"], Float[Tensor, "I BB"]],
    pairs: Sequence[Pairs],
    scale: float,
) -> Float[Tensor, "B"]:
    """Return the mean of softplus(score of the negative - score of the positive) for each task.

    Args:
        users: Representations and gate logits of all tasks.
        items: The same of items.
        pairs: Each task's pairs.
        scale: Factor of the scores.
    """
    out: Tensor = _Losses.apply(*users, *items, pairs, scale)  # type: ignore[no-untyped-call]
    return out


class _Losses(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        x_gates: Tensor,
        y: Tensor,
        y_gates: Tensor,
        pairs: Sequence[Pairs],
        scale: float,
    ) -> Tensor:
        rows = torch.cat([each.rows for each in pairs])
        chosen = torch.cat([each.positives for each in pairs] + [each.negatives for each in pairs])
        borders = np.cumsum([0, *(len(each.rows) for each in pairs)])
        n_pairs, n_tasks = len(rows), len(pairs)
        losses = x.new_empty(n_pairs)
        to_experts, to_gates = x.new_empty(2, 2, n_pairs, n_tasks)
        run(
            kernels.pair_losses,
            split_evenly(n_pairs, 2 * n_tasks),
            *_arrays(x, x_gates, y, y_gates, rows, chosen.view(2, n_pairs)),
            borders,
            np.float32(scale),
            *_arrays(losses, to_experts, to_gates),
        )
        ctx.borders = borders
        ctx.save_for_backward(x, y, rows, chosen, to_experts, to_gates)
        by_task = torch.split(losses, [len(each.rows) for each in pairs])
        return torch.stack([each.mean() if len(each) else each.sum() for each in by_task])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, y, rows, chosen, to_experts, to_gates = ctx.saved_tensors
        n_pairs, n_tasks = to_experts.shape[1:]
        x_gradient, y_gradient = torch.empty_like(x), torch.empty_like(y)
        x_gates, y_gates = (part.new_empty(len(part), n_tasks**2) for part in (x, y))
        starts, order = np.empty(len(y) + 1, np.int64), np.empty(2 * n_pairs, np.int64)
        kernels.by_item(chosen.numpy(), starts, order)
        common = (ctx.borders, *_arrays(gradients[0].contiguous(), to_experts, to_gates))
        per_user = np.bincount(rows.numpy(), minlength=len(x))
        run(
            kernels.users_gradient,
            split(per_user * 2 * n_tasks),
            *_arrays(y, rows, chosen.view(2, n_pairs)),
            *common,
            *_arrays(x_gradient, x_gates),
        )
        run(
            kernels.items_gradient,
            split(np.diff(starts) * n_tasks + 1),
            *_arrays(x, rows),
            starts,
            order,
            *common,
            *_arrays(y_gradient, y_gates),
        )
        return x_gradient, x_gates, y_gradient, y_gates, None, None


def _arrays(*tensors: Tensor) -> tuple[Any, ...]:
    return tuple(tensor.detach().contiguous().numpy() for tensor in tensors)
