"""Nearest items in NumPy, with all that depends on no request computed once."""

import numpy as np
from numpy.typing import NDArray

from cigf.inference.quick import Floats, best


class QuickNeighbors:
    """Nearest rows by the mean over behaviors of the cosine, as `neighbors.nearest`.

    Args:
        vectors: One row per item, shape (I, B, D).
    """

    def __init__(self, vectors: Floats) -> None:
        lengths = np.sqrt((vectors * vectors).sum(axis=-1, keepdims=True))
        units = vectors / np.maximum(lengths, 1e-12) / np.sqrt(np.float32(vectors.shape[1]))
        self._units = np.ascontiguousarray(units.reshape(len(vectors), -1).T)

    def nearest(self, row: int, k: int) -> tuple[NDArray[np.intp], Floats]:
        """Return the rows of the k nearest others, and their cosines; ties in order of rows."""
        cosines = self._units[:, row] @ self._units
        cosines[row] = -np.inf
        rows = best(cosines, k)
        return rows, cosines[rows]
