"""MESI with its pairwise loss in one piece, by compiled kernels. Needs numba.

Axes: u users, I items, B behaviors (tasks), D size, n pairs.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from cigf.compiled import arrays, run, split, split_evenly
from cigf.nn import mesi_kernels as kernels
from cigf.shapes import Pairs

_BLOCK = 256
"""Rows whose contributions to a weight's gradient are added up first."""


def mesi_losses(
    users: Float[Tensor, "u B D"],
    items: Float[Tensor, "I B D"],
    gates: tuple[Float[Tensor, "B D"], Float[Tensor, "B D"], Float[Tensor, "B"]],
    pairs: Sequence[Pairs],
    scale: float,
) -> Float[Tensor, "B"]:
    """Return the mean of softplus(score of the negative - score of the positive) for each task.

    Args:
        users: Their representations.
        items: Theirs.
        gates: Weights of the users' and of the items' representations in the gates, and the bias.
        pairs: Each task's pairs.
        scale: Factor of the scores.
    """
    out: Tensor = _Losses.apply(users, items, *gates, pairs, scale)  # type: ignore[no-untyped-call]
    return out


class _Drawn(NamedTuple):
    """All tasks' pairs, one task after the other: rows (n,), chosen (2, n), borders (B + 1,)."""

    rows: NDArray[np.int64]
    chosen: NDArray[np.int64]
    borders: NDArray[np.int64]


class _Losses(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        y: Tensor,
        to_users: Tensor,
        to_items: Tensor,
        bias: Tensor,
        pairs: Sequence[Pairs],
        scale: float,
    ) -> Tensor:
        x, y = x.contiguous(), y.contiguous()
        weights = to_users.contiguous(), to_items.contiguous()
        drawn = _joined(pairs)
        n_pairs, n_tasks = len(drawn.rows), len(pairs)
        losses = x.new_empty(n_pairs)
        to_experts, to_gates = x.new_empty(2, 2, n_pairs, n_tasks)
        run(
            kernels.pair_losses,
            split_evenly(n_pairs, 2 * n_tasks),
            *arrays(x.flatten(1), _logits(x, weights[0], torch.zeros_like(bias))),
            *arrays(y.flatten(1), _logits(y, weights[1], bias)),
            *drawn,
            np.float32(scale),
            *arrays(losses, to_experts, to_gates),
        )
        ctx.drawn = drawn
        ctx.save_for_backward(x, y, *weights, to_experts, to_gates)
        by_task = torch.split(losses, [len(each.rows) for each in pairs])
        return torch.stack([each.mean() if len(each) else each.sum() for each in by_task])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, y, to_users, to_items, *slopes = ctx.saved_tensors
        given = arrays(gradients[0].contiguous(), *slopes)
        of_users = _users_gradient(x, y, ctx.drawn, given)
        of_items = _items_gradient(x, y, ctx.drawn, given)
        user_weight, _ = _logits_gradient(x, to_users, *of_users)
        item_weight, bias = _logits_gradient(y, to_items, *of_items)
        return of_users[0], of_items[0], user_weight, item_weight, bias, None, None


def _joined(pairs: Sequence[Pairs]) -> _Drawn:
    for task, each in enumerate(pairs):  # the kernels would read past the shorter one's end
        lengths = len(each.rows), len(each.positives), len(each.negatives)
        if len(set(lengths)) > 1:
            raise ValueError(
                f"task {task} has {lengths[0]} users, {lengths[1]} positives and {lengths[2]} "
                "negatives; a pair needs one of each"
            )
    rows = torch.cat([each.rows for each in pairs])
    chosen = torch.cat([each.positives for each in pairs] + [each.negatives for each in pairs])
    borders = np.cumsum([0, *(len(each.rows) for each in pairs)])
    return _Drawn(rows.numpy(), chosen.view(2, -1).numpy(), borders)


def _logits(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    out = x.new_empty(len(x), len(bias) ** 2)
    borders = split_evenly(len(x), len(bias) ** 2)
    run(kernels.gate_logits, borders, *arrays(x, weight, bias, out))
    return out


def _users_gradient(
    x: Tensor, y: Tensor, drawn: _Drawn, given: tuple[Any, ...]
) -> tuple[Tensor, Tensor]:
    """The losses' gradient by the users' vectors and by their logits."""
    n_tasks = x.shape[1]
    out, logits = torch.empty_like(x), x.new_empty(len(x), n_tasks**2)
    per_user = np.bincount(drawn.rows, minlength=len(x)) * 2 * n_tasks
    found = arrays(out.flatten(1), logits)
    run(kernels.users_gradient, split(per_user), *arrays(y.flatten(1)), *drawn, *given, *found)
    return out, logits


def _items_gradient(
    x: Tensor, y: Tensor, drawn: _Drawn, given: tuple[Any, ...]
) -> tuple[Tensor, Tensor]:
    """The losses' gradient by the items' vectors and by their logits."""
    n_tasks = x.shape[1]
    out, logits = torch.empty_like(y), y.new_empty(len(y), n_tasks**2)
    starts, order = np.empty(len(y) + 1, np.int64), np.empty(drawn.chosen.size, np.int64)
    kernels.by_item(drawn.chosen.reshape(-1), starts, order)
    run(
        kernels.items_gradient,
        split(np.diff(starts) * n_tasks + 1),
        *arrays(x.flatten(1)),
        drawn.rows,
        starts,
        order,
        drawn.borders,
        *given,
        *arrays(out.flatten(1), logits),
    )
    return out, logits


def _logits_gradient(
    x: Tensor, weight: Tensor, x_gradient: Tensor, gradient: Tensor
) -> tuple[Tensor, Tensor]:
    """Add what comes through the logits to `x_gradient`; return the weight's and the bias's."""
    n_blocks = -(-len(x) // _BLOCK)
    to_weight = weight.new_empty(n_blocks, *weight.shape)
    to_bias = weight.new_empty(n_blocks, len(weight))
    run(
        kernels.gate_logits_gradient,
        split_evenly(n_blocks, _BLOCK * gradient.shape[1]),
        *arrays(x, weight, gradient),
        _BLOCK,
        *arrays(x_gradient, to_weight, to_bias),
    )
    return to_weight.sum(0), to_bias.sum(0)
