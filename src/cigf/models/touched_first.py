"""Touched first: what the user looked at or carted, deepest behavior first, then popularity.

Most held-out purchases of the published splits are of items that the user had touched before, so
this rule, which learns nothing, is what a model has to beat where these are in the catalog. By
conversion, touched items stand in the order of how often a look at them ends in a purchase.

Axes: U users, I items, B behaviors.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import NonNegativeFloat
from torch import Tensor

from cigf.config import ModelConfig
from cigf.data.dataset import Dataset, Matrix, contains, pair_keys, touched_pairs
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.cooccurrence import matrices_of
from cigf.models.base import Representations, Sizes
from cigf.models.direct import HistoryRecommender, OnPart
from cigf.models.popularity import exact_type, popularity_order
from cigf.ranking import Corrections, ScoreFactors, Scorer

Order = Literal["popularity", "conversion"]
"""How touched items stand among each other."""


def touched_first_factors(history: Dataset, behavior: int) -> ScoreFactors:
    """Return popularity, raised for touched pairs by the behaviors that they have.

    A deeper behavior stands over all shallower ones together: carted and viewed, then carted,
    then viewed, then untouched; among equals popularity decides.

    Args:
        history: What is known about the users.
        behavior: Index of the behavior to predict.
    """
    popular = popularity_order(history.interactions[behavior])
    return raised(history.interactions, behavior, popular, popular, by_level=True)


def raised(
    interactions: Sequence[Matrix],
    behavior: int,
    popular: NDArray[np.int64],
    touched_order: NDArray[np.int64],
    *,
    by_level: bool,
) -> ScoreFactors:
    """Return an order of all items, in which those a user has touched stand before the others.

    Args:
        interactions: What the users did, one matrix per behavior.
        behavior: Index of the behavior to predict.
        popular: How many items stand behind each, shape (I,).
        touched_order: The same among touched items.
        by_level: Whether a deeper behavior stands over all shallower ones together.
    """
    n_users, n_items = interactions[0].shape
    touched = touched_pairs(interactions, behavior)
    keys = pair_keys(touched)
    others = [matrix for k, matrix in enumerate(interactions) if k != behavior]
    levels = np.zeros(len(keys), dtype=np.int64)
    for depth, matrix in enumerate(others):
        levels += contains(pair_keys(matrix), keys) * 2**depth
    if not by_level:
        levels = np.minimum(levels, 1)
    raises = levels * n_items + (touched_order - popular)[touched.indices]
    exact = exact_type(n_items * 2 ** len(others))
    corrections = Corrections(
        torch.from_numpy(touched.indptr.astype(np.int64)),
        torch.from_numpy(touched.indices.astype(np.int32)),
        torch.from_numpy(raises).to(exact),
    )
    order = torch.from_numpy(popular).to(exact)
    users = torch.ones(n_users, 1, 1, dtype=exact)
    return ScoreFactors(users, order[:, None, None], corrections=corrections)


def conversion_order(
    interactions: Sequence[Matrix], behavior: int, prior: float
) -> NDArray[np.int64]:
    """Return how many items convert worse than each, shape (I,); equal ones by popularity.

    An item's rate is the users who have it under the behavior, over those who have it under the
    shallowest other one; a few users of an item with the mean rate are added to both.

    Args:
        interactions: What the users did, one matrix per behavior.
        behavior: Index of the behavior to predict.
        prior: How many users are added.
    """
    counts = [
        np.bincount(matrix.indices, minlength=matrix.shape[1]).astype(np.float64)
        for matrix in interactions
    ]
    done = counts.pop(behavior)
    looked = counts[0] if counts else done
    mean = done.sum() / max(1.0, looked.sum())
    among = looked + prior
    # Without any of them there is no rate: 0, or what was done without a look at it.
    rate = (done + prior * mean) / np.where(among > 0, among, 1.0)
    popular = popularity_order(interactions[behavior])
    return np.lexsort((popular, rate)).argsort()


class TouchedFirstConfig(ModelConfig):
    """Hyperparameters of `TouchedFirst`."""

    order: Order = "popularity"
    """Order of touched items: popularity, deeper behaviors first; or conversion alone, purchases
    per view of the item."""
    prior: NonNegativeFloat = 10.0
    """Views with the mean rate that are added to an item's own, by conversion: one purchase after
    one view is not 100 %."""


class TouchedFirstConversionConfig(TouchedFirstConfig):
    """Hyperparameters of `TouchedFirst` by conversion."""

    order: Order = "conversion"
    """As for touched-first."""


class TouchedFirst(HistoryRecommender):
    """The rule as a model, so that it can be served and compared like any other.

    Args:
        config: The hyperparameters.
        sizes: Numbers of users, items and behaviors.
        generator: Not used: nothing is drawn.
    """

    kept: ClassVar[tuple[str, ...]] = (*HistoryRecommender.kept, "popular", "touched_order")
    popular: Tensor
    touched_order: Tensor

    def __init__(
        self, config: TouchedFirstConfig, sizes: Sizes, generator: torch.Generator
    ) -> None:
        super().__init__(sizes)
        self.config = config

    def fit(self, graph: BehaviorGraph, seed: int, on_part: OnPart) -> None:
        """Keep the interactions, and count."""
        super().fit(graph, seed, on_part)
        matrices = matrices_of(graph)
        numbers = range(len(matrices))
        popular = [popularity_order(matrix) for matrix in matrices]
        orders: dict[Order, Callable[[int], NDArray[np.int64]]] = {
            "popularity": lambda behavior: popular[behavior],
            "conversion": lambda behavior: conversion_order(matrices, behavior, self.config.prior),
        }
        chosen = map(orders[self.config.order], numbers)
        self.popular = torch.from_numpy(np.stack(popular, axis=1))
        self.touched_order = torch.from_numpy(np.stack(list(chosen), axis=1))
        on_part()

    def scorer(self, representations: Representations, behavior: int) -> Scorer:
        """Popularity, raised where a user has touched an item."""
        return raised(
            self.histories(representations.users),
            behavior,
            self.popular[:, behavior].cpu().numpy(),
            self.touched_order[:, behavior].cpu().numpy(),
            by_level=self.config.order == "popularity",
        )
