"""Heads with a closed form for the whole catalog: MESI, bilinear, shared bottom.

A head turns the B representations of a user and of an item into one score per behavior (task).
Every head first computes a part per node and then combines two parts per pair: what depends on
one node alone is never computed twice.

Axes: n pairs, U users, I items, B behaviors, D embedding size, _ a head's own width.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cigf import compiled
from cigf.nn.init import xavier_uniform
from cigf.nn.products import short_dots
from cigf.ranking import ScoreFactors, Scorer
from cigf.shapes import Pairs

HeadInput = Literal["average", "sum", "separate"]
"""What a head with one input is fed: the B representations' mean (the paper), their sum (the
published program), or for a task its own behavior's representation."""

Parts = tuple[Tensor, ...]
"""What a head knows of some nodes: tensors whose first axis is the node."""

Fuse = Callable[[Tensor], Tensor]

FUSIONS: dict[HeadInput, Fuse] = {
    "average": lambda x: x.mean(1, keepdim=True).expand_as(x),
    "sum": lambda x: x.sum(1, keepdim=True).expand_as(x),
    "separate": lambda x: x,
}
"""Representations (n, B, D) -> the input of every task, (n, B, D)."""


class Head(nn.Module, ABC):
    """Scores of pairs for training, and a scorer of the whole catalog for ranking.

    Args:
        scale: Factor of every score; it sets how sharp the loss is (300 in the releases).
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    @abstractmethod
    def user_parts(self, x: Float[Tensor, "n B D"]) -> Parts:
        """Compute what a user brings to all her pairs, for all tasks."""

    @abstractmethod
    def item_parts(self, y: Float[Tensor, "n B D"]) -> Parts:
        """Compute what an item brings to all its pairs, for all tasks."""

    @abstractmethod
    def score(self, users: Parts, items: Parts, behavior: int) -> Float[Tensor, "n"]:
        """Combine the parts of n pairs to their scores for one task."""

    def score_sets(
        self, users: Parts, items: Parts, sizes: Sequence[int]
    ) -> list[Float[Tensor, "s n"]]:
        """Score each task's own pairs, a user with `s` items each.

        Args:
            users: Parts of all tasks' users, one task after the other; (pairs, ...).
            items: Parts of their items, (s, pairs, ...).
            sizes: Number of pairs of each task.
        """
        split_users = [torch.split(part, list(sizes)) for part in users]
        split_items = [torch.split(part, list(sizes), dim=1) for part in items]
        return [
            torch.stack(
                [
                    self.score(
                        tuple(part[task] for part in split_users),
                        tuple(part[task][each] for part in split_items),
                        task,
                    )
                    for each in range(len(items[0]))
                ]
            )
            for task in range(len(sizes))
        ]

    def bpr_losses(
        self,
        users: Float[Tensor, "u B D"],
        items: Float[Tensor, "I B D"],
        pairs: Sequence[Pairs],
    ) -> Float[Tensor, "B"] | None:
        """Return each task's BPR loss, where a head has a way of its own to compute it in one.

        Args:
            users: Representations of the batch's users.
            items: Representations of all items.
            pairs: Each task's pairs.
        """
        return None

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
        self._sizes = (n_behaviors, embedding_size)
        self.gate = nn.Parameter(xavier_uniform((2 * embedding_size, n_behaviors), generator))
        self.gate_bias = nn.Parameter(torch.zeros(n_behaviors))

    def user_parts(self, x: Float[Tensor, "n B D"]) -> Parts:
        """The representations (n, B D) and the gate logits of all tasks (n, B B)."""
        return x.flatten(1), self._user_gates(x).flatten(1)

    def item_parts(self, y: Float[Tensor, "n B D"]) -> Parts:
        """The same of items; their logits include the gate's bias."""
        return y.flatten(1), self._item_gates(y).flatten(1)

    def score(self, users: Parts, items: Parts, behavior: int) -> Float[Tensor, "n"]:
        """Score pairs: o = scale * sum_j softmax_j(gate) <x_j, y_j>."""
        (x, user_gates), (y, item_gates) = users, items
        experts = short_dots(x, y[None], self._sizes[1])
        return self._weigh(experts, (user_gates + item_gates)[None], behavior)[0]

    def score_sets(
        self, users: Parts, items: Parts, sizes: Sequence[int]
    ) -> list[Float[Tensor, "s n"]]:
        """All tasks at once, because the experts' outputs do not depend on the task."""
        (x, user_gates), (y, item_gates) = users, items
        experts = torch.split(short_dots(x, y, self._sizes[1]), list(sizes), dim=1)
        gates = torch.split(user_gates + item_gates, list(sizes), dim=1)
        return [
            self._weigh(*pair, task) for task, pair in enumerate(zip(experts, gates, strict=True))
        ]

    def bpr_losses(
        self,
        users: Float[Tensor, "u B D"],
        items: Float[Tensor, "I B D"],
        pairs: Sequence[Pairs],
    ) -> Float[Tensor, "B"] | None:
        """All tasks at once by compiled kernels, where there are any."""
        if not compiled.usable(users, items):
            return None
        from cigf.nn.mesi_losses import mesi_losses  # needs numba

        size = users.shape[2]
        gates = self.gate[:size].t(), self.gate[size:].t(), self.gate_bias
        return mesi_losses(users, items, gates, pairs, self.scale)

    def _weigh(
        self, experts: Float[Tensor, "s n E"], gates: Float[Tensor, "s n _"], behavior: int
    ) -> Float[Tensor, "s n"]:
        n_behaviors = self._sizes[0]
        own = gates[..., behavior * n_behaviors : (behavior + 1) * n_behaviors]
        # Experts before pairs: a softmax over a short last axis takes four times as long.
        weights = own.movedim(2, 0).softmax(0)
        return self.scale * (weights * experts.movedim(2, 0)).sum(0)

    def scorer(
        self, users: Float[Tensor, "U B D"], items: Float[Tensor, "I B D"], behavior: int
    ) -> Scorer:
        """The gate splits into a user's and an item's logits: a ratio of two inner products."""
        return ScoreFactors(
            users=users,
            items=items,
            user_gates=self._user_gates(users)[:, behavior],
            item_gates=self._item_gates(items)[:, behavior],
            scale=self.scale,
        )

    def gate_weights(
        self, x: Float[Tensor, "n B D"], y: Float[Tensor, "n B D"], behavior: int
    ) -> Float[Tensor, "n E"]:
        """Return how much a task's gate gives to each behavior's expert."""
        logits = self._user_gates(x)[:, behavior] + self._item_gates(y)[:, behavior]
        return logits.softmax(-1)

    def regularized(self) -> list[nn.Parameter]:
        """The gate's weight."""
        return [self.gate]

    def _user_gates(self, x: Float[Tensor, "n B D"]) -> Float[Tensor, "n B B"]:
        return nn.functional.linear(x, self.gate[: x.shape[2]].t().contiguous())

    def _item_gates(self, y: Float[Tensor, "n B D"]) -> Float[Tensor, "n B B"]:
        return nn.functional.linear(y, self.gate[y.shape[2] :].t().contiguous(), self.gate_bias)


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

    def user_parts(self, x: Float[Tensor, "n B D"]) -> Parts:
        """The input weighted by r_k, for every task: (n, B, D)."""
        return (self.fuse(x) * self.relation,)

    def item_parts(self, y: Float[Tensor, "n B D"]) -> Parts:
        """The input of every task: (n, B, D)."""
        return (self.fuse(y),)

    def score(self, users: Parts, items: Parts, behavior: int) -> Float[Tensor, "n"]:
        """Inner product of the task's parts."""
        return self.scale * (users[0][:, behavior] * items[0][:, behavior]).sum(1)

    def scorer(
        self, users: Float[Tensor, "U B D"], items: Float[Tensor, "I B D"], behavior: int
    ) -> Scorer:
        """One inner product."""
        task = slice(behavior, behavior + 1)
        return ScoreFactors(
            users=self.user_parts(users)[0][:, task],
            items=self.item_parts(items)[0][:, task],
            scale=self.scale,
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

    def user_parts(self, x: Float[Tensor, "n B D"]) -> Parts:
        """The user's term of every task: (n, B)."""
        return ((self.fuse(x) * self.tower[:, : x.shape[2]]).sum(2),)

    def item_parts(self, y: Float[Tensor, "n B D"]) -> Parts:
        """The item's term of every task, biases included: (n, B)."""
        return ((self.fuse(y) * self.tower[:, y.shape[2] :]).sum(2) + self.bias,)

    def score(self, users: Parts, items: Parts, behavior: int) -> Float[Tensor, "n"]:
        """Sum of the terms."""
        return self.scale * (users[0][:, behavior] + items[0][:, behavior])

    def scorer(
        self, users: Float[Tensor, "U B D"], items: Float[Tensor, "I B D"], behavior: int
    ) -> Scorer:
        """The user's term times 1 plus 1 times the item's term."""
        user_terms = self.user_parts(users)[0][:, behavior]
        item_terms = self.item_parts(items)[0][:, behavior]
        ones = torch.ones_like
        return ScoreFactors(
            users=torch.stack([user_terms, ones(user_terms)], 1)[:, None],
            items=torch.stack([ones(item_terms), item_terms], 1)[:, None],
            scale=self.scale,
        )
