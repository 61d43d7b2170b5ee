"""item-kNN: items that are liked together, by the cosine of their weighted columns.

Sarwar et al., "Item-based Collaborative Filtering Recommendation Algorithms", WWW 2001,
doi 10.1145/371920.372071; weighing several behaviors is what shops do.

Axes: U users, I items, B behaviors.
"""

from typing import ClassVar, cast

import numpy as np
import torch
from jaxtyping import Float
from pydantic import PositiveInt
from scipy.sparse import csr_array, eye_array
from torch import Tensor

from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.cooccurrence import cosines, matrices_of, n_blocks, weighted_sum
from cigf.models.base import Representations, Sizes
from cigf.models.direct import HistoryRecommender, OnPart, WeightedConfig, depth_weights
from cigf.ranking import Scorer, SparseScorer
from cigf.shapes import Learns


class ItemKNNConfig(WeightedConfig):
    """Hyperparameters of `ItemKNN`."""

    n_neighbors: PositiveInt = 200
    """How many similar items an item keeps, itself not counted."""
    with_itself: bool = True
    """Whether an item is similar to itself, with cosine 1: then what the user has touched herself
    stands high; without, only what is similar to other things that she did."""


class ItemKNN(HistoryRecommender):
    """score(u, i) = sum_j w_uj cos(w_j, w_i), where w_uj adds up the weights of what u did with j.

    Args:
        config: The hyperparameters.
        sizes: Numbers of users, items and behaviors.
        generator: Not used: nothing is drawn.
    """

    learns: ClassVar[Learns] = "target"
    kept: ClassVar[tuple[str, ...]] = (
        *HistoryRecommender.kept,
        "similar_offsets",
        "similar_items_of",
        "similarities",
    )
    similar_offsets: Tensor
    similar_items_of: Tensor
    similarities: Tensor

    def __init__(self, config: ItemKNNConfig, sizes: Sizes, generator: torch.Generator) -> None:
        super().__init__(sizes)
        self.config = config
        self._weights = depth_weights(config.behavior_weights, sizes.n_behaviors)

    def n_parts(self, graph: BehaviorGraph) -> int:
        """One for each block of items."""
        return n_blocks(graph.n_items)

    def fit(self, graph: BehaviorGraph, seed: int, on_part: OnPart) -> None:
        """Compute each item's nearest others."""
        super().fit(graph, seed, on_part)
        weighted = weighted_sum(matrices_of(graph), self._weights)
        near = cosines(weighted, self.config.n_neighbors, on_part)
        self.similar_offsets = torch.from_numpy(near.indptr.astype(np.int64))
        self.similar_items_of = torch.from_numpy(near.indices.astype(np.int32))
        self.similarities = torch.from_numpy(near.data)

    def scorer(self, representations: Representations, behavior: int) -> Scorer:
        """One sparse product for a block of users."""
        rows = weighted_sum(self.histories(representations.users), self._weights)
        near = self._similarity()
        if self.config.with_itself:
            near = (near + eye_array(near.shape[0], dtype=np.float32)).tocsr()
        return SparseScorer(rows, near)

    def similar_items(self, item: int) -> Float[Tensor, "I"]:
        """The cosines with the neighbors; 0 for all others."""
        return torch.from_numpy(self._similarity()[[item]].toarray()[0])

    def _similarity(self) -> csr_array:
        parts = (self.similarities, self.similar_items_of, self.similar_offsets)
        n_items = self.sizes.n_items
        values, items, offsets = (part.cpu().numpy() for part in parts)
        return cast(csr_array, csr_array((values, items, offsets), shape=(n_items, n_items)))
