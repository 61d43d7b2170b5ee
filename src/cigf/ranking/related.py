"""RelatedScorer: factors, plus the logarithm of how near an item is to what the user did.

    score(u, i) = factors(u, i) + sharpness * log(smallest + sum_kj w_kj (Y_k S_j)[u, i])

Axes: U users, I items, B behaviors, b users of a block, n pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from cigf.ranking.factors import ScoreFactors
from cigf.ranking.scorer import Scorer

PAIRS_AT_ONCE = 1 << 10


@dataclass(frozen=True, eq=False)
class RelatedScorer(Scorer):
    """Sparse products for a block of users, on the CPU, beside the factors' dense ones.

    Args:
        factors: The other terms.
        done: Y_k, what the users did under each behavior, (U, I).
        related: S_j, how near items are under each behavior, (I, I).
        weights: w, not negative, (B, B).
        sharpness: Factor of the logarithm.
        smallest: What stands in for an item that is near to nothing.
    """

    factors: ScoreFactors
    done: Sequence[csr_array]
    related: Sequence[csr_array]
    weights: NDArray[np.float32]
    sharpness: float
    smallest: float

    @property
    def n_users(self) -> int:
        """U."""
        return self.factors.n_users

    @property
    def n_items(self) -> int:
        """I."""
        return self.factors.n_items

    @property
    def device(self) -> torch.device:
        """Where the factors are."""
        return self.factors.device

    def block(self, users: Int64[Tensor, "b"]) -> Float[Tensor, "b I"]:
        """Return the scores of some users with all items, in memory the caller may change."""
        rows = users.cpu().numpy()
        total = np.zeros((len(rows), self.n_items), dtype=np.float32)
        for mixed, near in zip(self._mixed(rows), self.related, strict=True):
            total += (mixed @ near).toarray()
        return self.factors.block(users).add_(self._term(total))

    def pairs(self, users: Int64[Tensor, "n"], items: Int64[Tensor, "n"]) -> Float[Tensor, "n"]:
        """Return the scores of single pairs, some at a time."""
        found = [torch.empty(0, device=self.device)]
        for mine, theirs in zip(
            torch.split(users, PAIRS_AT_ONCE), torch.split(items, PAIRS_AT_ONCE), strict=True
        ):
            total = np.zeros(len(mine), dtype=np.float32)
            columns = theirs.cpu().numpy()
            for mixed, near in zip(self._mixed(mine.cpu().numpy()), self.related, strict=True):
                wanted = near[:, columns].T
                total += np.asarray(mixed.multiply(wanted).sum(axis=1), np.float32).ravel()
            found.append(self._term(total))
        return self.factors.pairs(users, items) + torch.cat(found)

    def with_users(self, other: Scorer) -> Scorer:
        """Return these items' scores with another's users; see `Scorer.with_users`."""
        assert isinstance(other, RelatedScorer)  # from the same model
        factors = self.factors.with_users(other.factors)
        assert isinstance(factors, ScoreFactors)
        return replace(self, factors=factors, done=other.done)

    def _mixed(self, rows: NDArray[np.int64]) -> list[csr_array]:
        """Return sum_k w_kj Y_k of some users, for every j."""
        mine = [matrix[rows] for matrix in self.done]
        mixed = []
        for column in self.weights.T:
            total = mine[0] * column[0]
            for matrix, weight in zip(mine[1:], column[1:], strict=True):
                total = total + matrix * weight
            mixed.append(csr_array(total))
        return mixed

    def _term(self, total: NDArray[np.float32]) -> Tensor:
        values = self.sharpness * np.log(total + np.float32(self.smallest))
        return torch.from_numpy(values.astype(np.float32)).to(self.device)
