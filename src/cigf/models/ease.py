"""EASE: a linear autoencoder without a diagonal, in closed form (Steck, WWW 2019).

"Embarrassingly Shallow Autoencoders for Sparse Data", doi 10.1145/3308558.3313710.

Axes: U users, I items, B behaviors.
"""

from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from cigf.data.dataset import Dataset
from cigf.errors import ConfigError
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.cooccurrence import matrices_of, weighted_sum
from cigf.models.base import Representations, Sizes
from cigf.models.direct import (
    HistoryRecommender,
    OnPart,
    WeightedConfig,
    check_weights,
    depth_weights,
)
from cigf.ranking import Scorer, SparseScorer
from cigf.shapes import Learns


class EASEConfig(WeightedConfig):
    """Hyperparameters of `EASE`."""

    l2: PositiveFloat = 500.0
    """Weight lambda of the squares of the item-item weights."""
    most_items: PositiveInt = 20_000
    """Catalogs above this are refused: a matrix of all pairs of items is inverted, 4 bytes a pair,
    and kept."""


def check(config: EASEConfig, dataset: Dataset) -> None:
    """Refuse weights for another number of behaviors, and too many items.

    Raises:
        ConfigError: There are such.
    """
    check_weights(config, dataset)
    n_items = dataset.n_items
    if n_items > config.most_items:
        raise ConfigError(
            f"model ease inverts a matrix of all pairs of items: {n_items:,} items need "
            f"{n_items**2 * 4 / 1e9:,.0f} GB and much time; up to model.most_items = "
            f"{config.most_items:,} are allowed. Raise that, or train item-knn"
        )


class EASE(HistoryRecommender):
    """score = w_u B with B = I - P diag(P)^-1 and P = (W^T W + lambda I)^-1.

    Args:
        config: The hyperparameters.
        sizes: Numbers of users, items and behaviors.
        generator: Not used: nothing is drawn.
    """

    learns: ClassVar[Learns] = "target"
    kept: ClassVar[tuple[str, ...]] = (*HistoryRecommender.kept, "item_weights")
    item_weights: Tensor

    def __init__(self, config: EASEConfig, sizes: Sizes, generator: torch.Generator) -> None:
        super().__init__(sizes)
        self.config = config
        self._weights = depth_weights(config.behavior_weights, sizes.n_behaviors)

    def n_parts(self, graph: BehaviorGraph) -> int:
        """Two: factoring and inverting."""
        return 2

    def fit(self, graph: BehaviorGraph, seed: int, on_part: OnPart) -> None:
        """Invert the Gram matrix in place, by its Cholesky factor."""
        # It takes long to import, and no other model needs it.
        from scipy.linalg.lapack import spotrf, spotri

        super().fit(graph, seed, on_part)
        weighted = weighted_sum(matrices_of(graph), self._weights)
        gram = np.asfortranarray((weighted.T @ weighted).toarray(order="F"), np.float32)
        gram[np.diag_indices_from(gram)] += np.float32(self.config.l2)
        factor, _ = spotrf(gram, lower=1, overwrite_a=1)
        on_part()
        inverse, _ = spotri(factor, lower=1, overwrite_c=1)
        _mirror(inverse)
        inverse /= -np.diag(inverse).copy()
        np.fill_diagonal(inverse, 0.0)
        self.item_weights = torch.from_numpy(np.ascontiguousarray(inverse))
        on_part()

    def scorer(self, representations: Representations, behavior: int) -> Scorer:
        """A sparse row times the weights."""
        rows = weighted_sum(self.histories(representations.users), self._weights)
        return SparseScorer(rows, self.item_weights.cpu().numpy())

    def similar_items(self, item: int) -> Float[Tensor, "I"]:
        """What having an item says about each other one."""
        return self.item_weights[item].clone()


def _mirror(lower: np.ndarray) -> None:
    """Copy the lower triangle to the upper one, in place and a block at a time."""
    size = 1024
    for start in range(0, len(lower), size):
        block = slice(start, start + size)
        lower[block, start + size :] = lower[start + size :, block].T
        corner = lower[block, block]
        corner[...] = np.tril(corner) + np.tril(corner, -1).T
