"""FirstItems: a scorer of the first items of a catalog, for models that know different ones."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from cigf.ranking.scorer import Scorer


class FirstItems(Scorer):
    """Another scorer's scores of its first items.

    Args:
        scorer: Whose scores.
        n_items: How many items.
    """

    def __init__(self, scorer: Scorer, n_items: int) -> None:
        self._scorer = scorer
        self._n_items = n_items

    @property
    def n_users(self) -> int:
        """U."""
        return self._scorer.n_users

    @property
    def n_items(self) -> int:
        """I."""
        return self._n_items

    @property
    def device(self) -> torch.device:
        """Where the scores are computed."""
        return self._scorer.device

    def block(self, users: Int64[Tensor, "b"]) -> Float[Tensor, "b I"]:
        """Return the scores of some users with the first items."""
        return self._scorer.block(users)[:, : self._n_items].contiguous()

    def pairs(self, users: Int64[Tensor, "n"], items: Int64[Tensor, "n"]) -> Float[Tensor, "n"]:
        """Return the scores of single pairs."""
        return self._scorer.pairs(users, items)
