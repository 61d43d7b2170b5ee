"""Dense matrices over all nodes: what the sparse propagation must equal."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cigf.data.dataset import Matrix

Array = NDArray[np.float64]


def block(y: Array) -> Array:
    """The (N, N) adjacency of a (U, I) matrix, users first."""
    n_users, n_items = y.shape
    return np.block([[np.zeros((n_users, n_users)), y], [y.T, np.zeros((n_items, n_items))]])


def choose(matrices: Sequence[Matrix], graph: str, weights: Sequence[float]) -> list[Array]:
    """The (N, N) adjacencies that a choice of graph stands for."""
    dense = [matrix.toarray().astype(np.float64) for matrix in matrices]
    weights = np.array(weights or [1] * len(dense)) / (sum(weights) or len(dense))
    chosen = {
        "target": dense[-1:],
        "union": [(sum(dense) > 0).astype(np.float64)],
        "weighted": [sum(weight * y for weight, y in zip(weights, dense, strict=True))],
        "per-behavior": dense,
    }[graph]
    return [block(y) for y in chosen]


def inverse(x: Array) -> Array:
    return np.divide(1.0, x, out=np.zeros_like(x), where=x > 0)


def by_rows(a: Array) -> Array:
    """D^-1 A."""
    return inverse(a.sum(1))[:, None] * a


def symmetric(a: Array) -> Array:
    """D^-1/2 A D^-1/2."""
    root = np.sqrt(inverse(a.sum(1)))
    return root[:, None] * a * root[None, :]


def scores_of(nodes: Array, n_users: int) -> Array:
    """Scores of all users with all items: inner products of the nodes' vectors."""
    return nodes[:n_users] @ nodes[n_users:].T
