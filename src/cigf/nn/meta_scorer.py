"""MetaScorer: the whole catalog ranked by `MetaHead`, some users and items at a time."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from cigf.nn.meta_head import MetaHead
from cigf.ranking import NodesScorer

USERS_AT_ONCE, ITEMS_AT_ONCE = 8, 512
"""Pairs whose generated layers are in the cache together."""


class MetaScorer(NodesScorer):
    """Scores of one task.

    Args:
        head: Scores pairs.
        users: Under the source that is scored, and under the task's own; shape (U, 2, D).
        items: Likewise, (I, 2, D).
    """

    def __init__(
        self, head: MetaHead, users: Float[Tensor, "U 2 D"], items: Float[Tensor, "I 2 D"]
    ) -> None:
        super().__init__(users, items)
        self._head = head

    @torch.no_grad()
    def block(self, users: Int64[Tensor, "b"]) -> Float[Tensor, "b I"]:
        """Score some users with all items."""
        out = self._users.new_empty(len(users), self.n_items)
        for first in range(0, len(users), USERS_AT_ONCE):
            chosen = self._users[users[first : first + USERS_AT_ONCE], None]
            for start in range(0, self.n_items, ITEMS_AT_ONCE):
                items = self._items[None, start : start + ITEMS_AT_ONCE]
                described = self._head.describe(chosen, items)
                found = self._head(chosen[:, 0, 0], items[:, :, 0], *described.unbind(2))
                out[first : first + len(chosen), start : start + items.shape[1]] = found
        return out

    @torch.no_grad()
    def pairs(self, users: Int64[Tensor, "n"], items: Int64[Tensor, "n"]) -> Float[Tensor, "n"]:
        """Score some pairs, those of a user together."""
        chosen, rows = torch.unique(users, return_inverse=True)
        theirs = self._items[items]
        source, target = self._head.describe(self._users[users], theirs).unbind(1)
        return self._head.of_pairs(self._users[chosen, 0], theirs[:, 0], source, target, rows)
