"""SparseScorer: scores that are a product of two matrices too wide to be factors.

    scores = R M,    R (U, J) sparse and M (J, I) sparse or dense

as where R says what users did with J = I items, and M how alike items are. A block of users is one
sparse product, so memory is bounded by the block.

Axes: U users, I items, J inner axis, b users of a block, n pairs.
"""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from cigf.ranking.scorer import Scorer

PAIRS_AT_ONCE = 1 << 10


class SparseScorer(Scorer):
    """Products of a row and a column, on the CPU.

    Args:
        rows: R, one row per user.
        columns: M, one column per item.
    """

    def __init__(self, rows: csr_array, columns: csr_array | NDArray[np.float32]) -> None:
        self._rows = rows
        self._columns = columns

    @property
    def n_users(self) -> int:
        """U."""
        return self._rows.shape[0]

    @property
    def n_items(self) -> int:
        """I."""
        n_items: int = self._columns.shape[1]
        return n_items

    def block(self, users: Int64[Tensor, "b"]) -> Float[Tensor, "b I"]:
        """Return the scores of some users with all items, in memory the caller may change."""
        product: Any = self._rows[users.numpy()] @ self._columns
        dense = product if isinstance(product, np.ndarray) else product.toarray()
        return torch.from_numpy(np.asarray(dense, np.float32))

    def pairs(self, users: Int64[Tensor, "n"], items: Int64[Tensor, "n"]) -> Float[Tensor, "n"]:
        """Return the scores of single pairs, some at a time."""
        found = [
            self._few(mine.numpy(), theirs.numpy())
            for mine, theirs in zip(
                torch.split(users, PAIRS_AT_ONCE), torch.split(items, PAIRS_AT_ONCE), strict=True
            )
        ]
        return torch.from_numpy(np.concatenate([np.empty(0, np.float32), *found]))

    def with_users(self, other: Scorer) -> Scorer:
        """Return these items' scores with another's users; see `Scorer.with_users`."""
        assert isinstance(other, SparseScorer)  # from the same model
        return SparseScorer(other._rows, self._columns)

    @cached_property
    def _by_item(self) -> Any:
        """M transposed, to be read by items."""
        columns: Any = self._columns
        return columns.T if isinstance(columns, np.ndarray) else columns.T.tocsr()

    def _few(self, users: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.float32]:
        products = self._rows[users].multiply(self._by_item[items])
        sums: NDArray[np.float32] = np.asarray(products.sum(axis=1), np.float32).ravel()
        return sums
