"""Popularity: the more users have an item under a behavior, the better; nothing is learned."""

import numpy as np
import torch
from numpy.typing import NDArray

from cigf.data.dataset import Dataset
from cigf.ranking import ScoreFactors


def popularity_factors(history: Dataset, behavior: int) -> ScoreFactors:
    """Return one order of the items, the same for everyone, as scores.

    The score is how many items stand behind in the order. Equally popular items stand in the
    order of their rows: a list has to show one of them first, and as ties they would all count
    against each other, which makes the rule look worse than any list made by it.

    Args:
        history: What is known about the users.
        behavior: Index of the behavior to predict.
    """
    behind = popularity_order(history, behavior)
    users = torch.ones(history.n_users, 1, 1, dtype=exact_type(history.n_items))
    return ScoreFactors(users, torch.from_numpy(behind).to(users.dtype)[:, None, None])


def popularity_order(history: Dataset, behavior: int) -> NDArray[np.int64]:
    """Return how many items are less popular than each, shape (I,); equal ones by row."""
    counts = np.bincount(history.interactions[behavior].indices, minlength=history.n_items)
    order = np.argsort(-counts, kind="stable")
    behind = np.empty(history.n_items, dtype=np.int64)
    behind[order] = np.arange(history.n_items)[::-1]
    return behind


def exact_type(largest: int) -> torch.dtype:
    """Return the smallest type that tells all whole numbers up to `largest` apart."""
    return torch.float32 if largest < 1 << 24 else torch.float64
