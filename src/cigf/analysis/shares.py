"""Shares of a score: how much each of the user's events and each side of the item brings to it.

Given the gate, MESI's and the bilinear head's scores are linear in the user's representation and
in the item's. Both are sums of terms (`analysis.terms`), so the score is exactly the sum over all
pairs of a user's and an item's term, and any grouping of these pairs has a share of its own.

Axes: m terms of the user, n terms of the item, B behaviors, D embedding size.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from cigf.models.base import Recommender
from cigf.models.cigf import CIGF
from cigf.nn.heads import BilinearHead, Head, MESIHead

Weigh = Callable[[Float[Tensor, "n B D"]], Float[Tensor, "n B D"]]
"""Maps terms of an item so that their plain inner products with a user's terms are shares."""


def can_be_shared_out(model: Recommender) -> bool:
    """Tell whether the scores of a model are sums of shares."""
    return (
        isinstance(model, CIGF)
        and model.convolution.aggregator.linear
        and isinstance(model.head, MESIHead | BilinearHead)
    )


@torch.no_grad()
def weigh_by(
    head: Head, user: Float[Tensor, "B D"], item: Float[Tensor, "B D"], behavior: int
) -> Weigh:
    """Return how one pair's score weighs the terms of its item.

    Args:
        head: A MESI or bilinear head.
        user: The user's representation, of which the gate depends.
        item: The item's.
        behavior: The task.
    """
    if isinstance(head, MESIHead):
        gate = head.gate_weights(user[None], item[None], behavior)[0].double()
        return lambda terms: head.scale * gate[:, None] * terms
    assert isinstance(head, BilinearHead)
    n_behaviors = len(user)
    # What the head feeds this task of each behavior's representation: 1 / B, 1, or its own alone.
    fed = head.fuse(torch.eye(n_behaviors)[None])[0, behavior].double()
    relation = head.scale * head.relation[behavior].double()
    return lambda terms: fed[:, None] * (relation * torch.einsum("b,nbd->nd", fed, terms))[:, None]


def shares(
    user_terms: Float[Tensor, "m B D"], item_terms: Float[Tensor, "n B D"], weigh: Weigh
) -> Float[Tensor, "m n"]:
    """Return the share of every pair of a user's and an item's term."""
    return user_terms.flatten(1) @ weigh(item_terms).flatten(1).T
