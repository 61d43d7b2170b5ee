"""Heads with a closed form for the whole catalog: MESI, bilinear, shared bottom.

A head turns the B representations of a user and of an item into one score per behavior (task).
Axes: n pairs, U users, I items, B behaviors, D embedding size, E experts.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cigf.nn.init import xavier_uniform
from cigf.ranking import ScoreFactors, Scorer

HeadInput = Literal["average", "sum", "separate"]
"""What a head with one input is fed: the B representations' mean (the paper), their sum (the
published program), or for a task its own behavior's representation."""

Fuse = Callable[[Tensor, int], Tensor]

FUSIONS: dict[HeadInput, Fuse] = {
    "average": lambda x, behavior: x.mean(1),
    "sum": lambda x, behavior: x.sum(1),
    "separate": lambda x, behavior: x[:, behavior],
}
"""(n, B, D) and a behavior -> (n, D)."""


class Head(nn.Module, ABC):
    """Scores of pairs for training, and a scorer of the whole catalog for ranking.

    Args:
        scale: Factor of every score; it sets how sharp the loss is (300 in the releases).
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    @abstractmethod
    def score(
        self, x: Float[Tensor, "n B D"], y: Float[Tensor, "n B D"], behavior: int
    ) -> Float[Tensor, "n"]:
        """Score pairs of user representations x and item representations y for one task."""

    @abstractmethod
    def scorer(
        self, users: Float[Tensor, "U B D"], items: Float[Tensor, "I B D"], behavior: int
    ) -> Scorer:
        """Return the scorer of all users and items for one task."""

    def regularized(self) -> list[nn.Parameter]:
        """Parameters under the loss's L2 term; none unless a head says otherwise."""
        return []


class MESIHead(Head):
    """Multi-expert with separate inputs (CIGF eqs. 14-16).

    Expert j is the product of the pair's representations under behavior j; the gate of task k
    reads task k's own representations, through weights that all tasks share.

    Args:
        n_behaviors: B, the number of experts and of tasks.
        embedding_size: D.
        scale: Factor of the score, which sums over the D coordinates.
        generator: Source of the initial weights.
    """

    def __init__(
        self, n_behaviors: int, embedding_size: int, scale: float, generator: torch.Generator
    ) -> None:
        super().__init__(scale)
        self.gate = nn.Parameter(xavier_uniform((2 * embedding_size, n_behaviors), generator))
        self.gate_bias = nn.Parameter(torch.zeros(n_behaviors))

    def score(
        self, x: Float[Tensor, "n B D"], y: Float[Tensor, "n B D"], behavior: int
    ) -> Float[Tensor, "n"]:
        """O = scale * sum_j softmax_j(gate) <x_j, y_j>, pair by pair."""
        experts = (x * y).sum(2)
        user_gates, item_gates = self._gates(x, y, behavior)
        return self.scale * ((user_gates + item_gates).softmax(1) * experts).sum(1)

    def scorer(
        self, users: Float[Tensor, "U B D"], items: Float[Tensor, "I B D"], behavior: int
    ) -> Scorer:
        """The gate splits into a user's and an item's logits: a ratio of two inner products."""
        user_gates, item_gates = self._gates(users, items, behavior)
        return ScoreFactors(
            users=users,
            items=items,
            user_gates=user_gates,
            item_gates=item_gates,
            scale=self.scale,
        )

    def regularized(self) -> list[nn.Parameter]:
        """The gate's weight."""
        return [self.gate]

    def _gates(self, x: Tensor, y: Tensor, behavior: int) -> tuple[Tensor, Tensor]:
        size = x.shape[2]
        users = x[:, behavior] @ self.gate[:size]
        items = torch.addmm(self.gate_bias, y[:, behavior], self.gate[size:])
        return users, items


class BilinearHead(Head):
    """o_k = sum_c x_c y_c r_kc with a learned r_k per behavior (as in GHCF).

    Args:
        n_behaviors: B.
        embedding_size: D.
        scale: Factor of the score.
        head_input: What x and y are.
        generator: Source of the initial weights.
    """

    def __init__(
        self,
        n_behaviors: int,
        embedding_size: int,
        scale: float,
        head_input: HeadInput,
        generator: torch.Generator,
    ) -> None:
        super().__init__(scale)
        self.fuse = FUSIONS[head_input]
        self.relation = nn.Parameter(xavier_uniform((n_behaviors, embedding_size), generator))

    def score(
        self, x: Float[Tensor, "n B D"], y: Float[Tensor, "n B D"], behavior: int
    ) -> Float[Tensor, "n"]:
        """Score pairs."""
        product = self.fuse(x, behavior) * self.fuse(y, behavior)
        return self.scale * (product @ self.relation[behavior])

    def scorer(
        self, users: Float[Tensor, "U B D"], items: Float[Tensor, "I B D"], behavior: int
    ) -> Scorer:
        """One inner product of x o r_k and y."""
        weighted = self.fuse(users, behavior) * self.relation[behavior]
        return ScoreFactors(
            users=weighted[:, None], items=self.fuse(items, behavior)[:, None], scale=self.scale
        )


class SharedBottomHead(Head):
    """o_k = t_k [x || y] + b_k: one linear layer per task over one shared input.

    Its score is a user's term plus an item's, so every user gets the same ranking: that is what
    the paper's "shared bottom" row measures.

    Args:
        n_behaviors: B.
        embedding_size: D.
        scale: Factor of the score.
        head_input: What x and y are.
        generator: Source of the initial weights.
    """

    def __init__(
        self,
        n_behaviors: int,
        embedding_size: int,
        scale: float,
        head_input: HeadInput,
        generator: torch.Generator,
    ) -> None:
        super().__init__(scale)
        self.fuse = FUSIONS[head_input]
        self.tower = nn.Parameter(xavier_uniform((n_behaviors, 2 * embedding_size), generator))
        self.bias = nn.Parameter(torch.zeros(n_behaviors))

    def score(
        self, x: Float[Tensor, "n B D"], y: Float[Tensor, "n B D"], behavior: int
    ) -> Float[Tensor, "n"]:
        """Score pairs."""
        users, items = self._terms(x, y, behavior)
        return self.scale * (users + items)

    def scorer(
        self, users: Float[Tensor, "U B D"], items: Float[Tensor, "I B D"], behavior: int
    ) -> Scorer:
        """The user's term times 1 plus 1 times the item's term."""
        user_terms, item_terms = self._terms(users, items, behavior)
        ones = torch.ones_like
        return ScoreFactors(
            users=torch.stack([user_terms, ones(user_terms)], 1)[:, None],
            items=torch.stack([ones(item_terms), item_terms], 1)[:, None],
            scale=self.scale,
        )

    def _terms(self, x: Tensor, y: Tensor, behavior: int) -> tuple[Tensor, Tensor]:
        tower = self.tower[behavior]
        size = x.shape[2]
        users = self.fuse(x, behavior) @ tower[:size]
        return users, self.fuse(y, behavior) @ tower[size:] + self.bias[behavior]
