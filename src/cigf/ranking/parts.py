"""PartsScorer: scores that need work for every pair, in bounded chunks of items.

Axes: U users, I items, b users of a block, F width of a user's part, _ of an item's.
"""

from collections.abc import Callable
from copy import copy

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from cigf.ranking.scorer import Scorer

VALUES_PER_CHUNK = 3 << 22
"""Numbers that a chunk's pairs may take, by their `width`: about 50 MB."""

Combine = Callable[[Tensor, Tensor], Tensor]
"""(users' parts (..., F), items' parts (..., _)) -> scores (...), with broadcasting."""


class NodesScorer(Scorer):
    """What scorers share that keep one tensor per user and one per item.

    Args:
        users: Whatever is known of each user, the first axis is the user's.
        items: Likewise.
    """

    def __init__(self, users: Float[Tensor, "U *_"], items: Float[Tensor, "I *_"]) -> None:
        self._users = users
        self._items = items

    def with_users(self, other: Scorer) -> Scorer:
        """Return these items' scores with another's users; see `Scorer.with_users`."""
        assert isinstance(other, type(self))  # from the same model
        mine = copy(self)
        mine._users = other._users
        return mine

    @property
    def n_users(self) -> int:
        """U."""
        return len(self._users)

    @property
    def n_items(self) -> int:
        """I."""
        return len(self._items)

    @property
    def device(self) -> torch.device:
        """Where the scores are computed."""
        return self._users.device


class PartsScorer(NodesScorer):
    """Scores pairs by a function of a user's and an item's part, which are computed once per node.

    Args:
        users: One part per user.
        items: One part per item.
        combine: The function.
        width: About how many numbers `combine` needs for a pair.
    """

    def __init__(
        self,
        users: Float[Tensor, "U F"],
        items: Float[Tensor, "I _"],
        combine: Combine,
        width: int,
    ) -> None:
        super().__init__(users, items)
        self._combine = combine
        self._pairs_per_chunk = max(1, VALUES_PER_CHUNK // width)

    @torch.no_grad()
    def block(self, users: Int64[Tensor, "b"]) -> Float[Tensor, "b I"]:
        """Score some users with all items, in chunks of items."""
        chosen = self._users[users][:, None]
        step = max(1, self._pairs_per_chunk // max(1, len(users)))
        chunks = torch.split(self._items, step)
        return torch.cat([self._combine(chosen, chunk[None]) for chunk in chunks], dim=1)

    @torch.no_grad()
    def pairs(self, users: Int64[Tensor, "n"], items: Int64[Tensor, "n"]) -> Float[Tensor, "n"]:
        """Score some pairs, in chunks of pairs."""
        chunks = [
            self._combine(self._users[mine], self._items[theirs])
            for mine, theirs in zip(
                torch.split(users, self._pairs_per_chunk),
                torch.split(items, self._pairs_per_chunk),
                strict=True,
            )
        ]
        return torch.cat(chunks)
