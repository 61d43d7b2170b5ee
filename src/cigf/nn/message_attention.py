"""Attention between the messages that a node receives, and their sum.

    v'_i = v_i + concat over heads of sum over j of softmax_j(q_i q_j / sqrt(D / H)) v_j,  q = v W

Axes: n nodes, B messages, D size, H heads.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cigf.compiled import arrays, run, split_evenly, usable


def attend(
    messages: Float[Tensor, "n B D"], weight: Float[Tensor, "D D"], n_heads: int
) -> Float[Tensor, "n B D"]:
    """Add to each message what it attends to: one weight for queries and keys, none for values."""
    heads = (*messages.shape[:2], n_heads, -1)
    asked, values = (messages @ weight).view(heads), messages.reshape(heads)
    logits = torch.einsum("nihe,njhe->nhij", asked, asked) / asked.shape[3] ** 0.5
    return messages + torch.einsum("nhij,njhe->nihe", logits.softmax(3), values).flatten(2)


def attended_sum(
    messages: Float[Tensor, "n B D"], weight: Float[Tensor, "D D"], n_heads: int
) -> Float[Tensor, "n D"]:
    """Return the sum of `attend` over the messages."""
    if not usable(messages, weight):
        return attend(messages, weight, n_heads).sum(1)
    messages = messages.contiguous()
    out: Tensor = _AttendedSum.apply(messages @ weight, messages, n_heads)  # type: ignore[no-untyped-call]
    return out


class _AttendedSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, asked: Tensor, values: Tensor, n_heads: int) -> Tensor:
        from cigf.nn import message_kernels as kernels  # needs numba

        n, n_messages, width = values.shape
        shares = values.new_empty(n, n_heads, n_messages, n_messages)
        out = values.new_empty(n, width)
        ctx.scale = np.float32((width // n_heads) ** -0.5)
        ctx.save_for_backward(asked, values, shares)
        borders = split_evenly(n, n_messages**2)
        run(kernels.attend, borders, *arrays(asked, values), ctx.scale, *arrays(shares, out))
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        from cigf.nn import message_kernels as kernels  # needs numba

        asked, values, shares = ctx.saved_tensors
        found = torch.empty_like(asked), torch.empty_like(values)
        borders = split_evenly(len(values), values.shape[1] ** 2)
        given = arrays(shares, gradients[0].contiguous(), *found)
        run(kernels.attend_gradient, borders, *arrays(asked, values), ctx.scale, *given)
        return *found, None
