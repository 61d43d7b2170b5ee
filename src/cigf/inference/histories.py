"""What rankings need from histories: pairs to leave out, touched pairs, popularity."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cigf.data.dataset import Dataset, Matrix, build_matrix, pair_keys


class Histories:
    """Derived matrices of a frozen history, each made once when it is first asked for.

    Args:
        history: Who did what.
    """

    def __init__(self, history: Dataset) -> None:
        self.history = history
        self.touched = lru_cache(maxsize=None)(history.touched)
        self.seen = lru_cache(maxsize=None)(self._seen)

    def _seen(self, behaviors: tuple[int, ...]) -> Matrix:
        """Pairs under any of some behaviors."""
        if len(behaviors) == 1:
            return self.history.interactions[behaviors[0]]
        keys = [
            np.empty(0, np.int64),
            *(pair_keys(self.history.interactions[b]) for b in behaviors),
        ]
        shape = (self.history.n_users, self.history.n_items)
        return build_matrix(*np.divmod(np.concatenate(keys), max(shape[1], 1)), shape)

    def popularity(self, behavior: int) -> NDArray[np.int64]:
        """How many users did `behavior` with each item, shape (I,)."""
        indices = self.history.interactions[behavior].indices
        return np.bincount(indices, minlength=self.history.n_items)
