"""Popularity: the more users have an item under a behavior, the better; nothing is learned."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from cigf.config import ModelConfig
from cigf.data.dataset import Dataset, Matrix
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.cooccurrence import matrices_of
from cigf.graph.gather_sum import Edges
from cigf.models.base import Memory, Representations, Sizes
from cigf.models.direct import DirectRecommender, OnPart
from cigf.ranking import ScoreFactors, Scorer


def popularity_factors(history: Dataset, behavior: int) -> ScoreFactors:
    """Return one order of the items, the same for everyone, as scores.

    The score is how many items stand behind in the order. Equally popular items stand in the
    order of their rows: a list has to show one of them first, and as ties they would all count
    against each other, which makes the rule look worse than any list made by it.

    Args:
        history: What is known about the users.
        behavior: Index of the behavior to predict.
    """
    behind = popularity_order(history.interactions[behavior])
    users = torch.ones(history.n_users, 1, 1, dtype=exact_type(history.n_items))
    return ScoreFactors(users, torch.from_numpy(behind).to(users.dtype)[:, None, None])


def popularity_order(matrix: Matrix) -> NDArray[np.int64]:
    """Return how many items are less popular than each, shape (I,); equal ones by row."""
    counts = np.bincount(matrix.indices, minlength=matrix.shape[1])
    order = np.argsort(-counts, kind="stable")
    behind = np.empty(len(counts), dtype=np.int64)
    behind[order] = np.arange(len(counts))[::-1]
    return behind


def exact_type(largest: int) -> torch.dtype:
    """Return the smallest type that tells all whole numbers up to `largest` apart."""
    return torch.float32 if largest < 1 << 24 else torch.float64


class PopularityConfig(ModelConfig):
    """Hyperparameters of `Popularity`: none."""


class Popularity(DirectRecommender):
    """The rule as a model, so that it can be served and compared like any other.

    Args:
        config: Nothing.
        sizes: Numbers of users, items and behaviors.
        generator: Not used: nothing is drawn.
    """

    kept: ClassVar[tuple[str, ...]] = ("orders",)
    orders: Tensor

    def __init__(self, config: PopularityConfig, sizes: Sizes, generator: torch.Generator) -> None:
        super().__init__(sizes)

    def fit(self, graph: BehaviorGraph, seed: int, on_part: OnPart) -> None:
        """Count, for every behavior."""
        orders = [popularity_order(matrix) for matrix in matrices_of(graph)]
        exact = exact_type(graph.n_items)
        self.orders = torch.from_numpy(np.stack(orders, axis=1)).to(exact)
        on_part()

    def encode(
        self, graph: BehaviorGraph, users: Int[Tensor, "u"] | None = None
    ) -> Representations:
        """Nothing tells users apart, and items only their places: vectors of no width."""
        n_users = graph.n_users if users is None else len(users)
        n_behaviors = graph.n_behaviors
        items = torch.zeros(graph.n_items, n_behaviors, 0)
        return Representations(torch.zeros(n_users, n_behaviors, 0), items)

    def scorer(self, representations: Representations, behavior: int) -> Scorer:
        """One number for each item."""
        ones = self.orders.new_ones(len(representations.users), 1, 1)
        return ScoreFactors(ones, self.orders[:, behavior, None, None])

    def remember(self, graph: BehaviorGraph) -> Memory:
        """Nothing but the sizes: what matters is kept anyway."""
        return {"sizes": torch.tensor([graph.n_users, graph.n_items, graph.n_behaviors])}

    def fold_in(
        self, memory: Memory, events: Sequence[Edges], users: Int[Tensor, "u"]
    ) -> Float[Tensor, "u B 0"]:
        """Nothing tells users apart."""
        return torch.zeros(len(users), len(events), 0)
