"""iALS: matrix factorization of implicit feedback by alternating least squares.

Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008,
doi 10.1109/ICDM.2008.22; computed by the library implicit.
"""

from types import ModuleType
from typing import Any

import torch
from pydantic import PositiveFloat, PositiveInt
from scipy.sparse import csr_array

from cigf.data.dataset import Dataset
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.cooccurrence import matrices_of, weighted_sum
from cigf.models.base import Sizes
from cigf.models.direct import WeightedConfig, check_weights, depth_weights
from cigf.models.implicit_factors import ImplicitRecommender, check_installed


class IALSConfig(WeightedConfig):
    """Hyperparameters of `IALS`; the defaults are the library's."""

    embedding_size: PositiveInt = 64
    """Number of factors D."""
    iterations: PositiveInt = 15
    """Passes over users and items."""
    l2: PositiveFloat = 0.01
    """Weight of the factors' squares."""
    alpha: PositiveFloat = 1.0
    """Factor of a pair's weight, against 1 of a pair without interaction."""


def check(config: IALSConfig, dataset: Dataset) -> None:
    """Refuse weights for another number of behaviors, and to train without the library."""
    check_weights(config, dataset)
    check_installed(config, dataset)


class IALS(ImplicitRecommender):
    """min sum over all pairs of c_ui ([w_ui > 0] - x_u y_i)^2, with c_ui = alpha w_ui, else 1.

    Args:
        config: The hyperparameters.
        sizes: Numbers of users, items and behaviors.
        generator: Not used: the library draws from a seed.
    """

    def __init__(self, config: IALSConfig, sizes: Sizes, generator: torch.Generator) -> None:
        super().__init__(sizes)
        self.config = config

    def n_parts(self, graph: BehaviorGraph) -> int:
        """One for each pass."""
        return self.config.iterations

    def algorithm(self, library: ModuleType, seed: int) -> Any:
        """Alternating least squares."""
        return library.cpu.als.AlternatingLeastSquares(
            factors=self.config.embedding_size,
            regularization=self.config.l2,
            alpha=self.config.alpha,
            iterations=self.config.iterations,
            num_threads=torch.get_num_threads(),
            random_state=seed % 2**32,
        )

    def weigh(self, graph: BehaviorGraph) -> csr_array:
        """Add up the weights of what a user did with an item."""
        weights = depth_weights(self.config.behavior_weights, self.sizes.n_behaviors)
        return weighted_sum(matrices_of(graph), weights)
