"""BPR-MF: matrix factorization by Bayesian personalized ranking, from the target alone.

Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback", UAI 2009,
arXiv:1205.2618; computed by the library implicit.
"""

from types import ModuleType
from typing import Any

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from scipy.sparse import csr_array

from cigf.config import ModelConfig
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.cooccurrence import matrix_of
from cigf.models.base import Sizes
from cigf.models.implicit_factors import ImplicitRecommender


class BPRMFConfig(ModelConfig):
    """Hyperparameters of `BPRMF`; the defaults are the library's."""

    embedding_size: PositiveInt = 64
    """Number of factors D, an item's bias not counted."""
    iterations: PositiveInt = 100
    """Passes over the interactions."""
    learning_rate: PositiveFloat = 0.01
    """Of the stochastic gradient descent."""
    l2: NonNegativeFloat = 0.01
    """Weight of the factors' squares."""


class BPRMF(ImplicitRecommender):
    """max sum over (u, i, j) of ln sigmoid(s_ui - s_uj), with s_ui = x_u y_i + b_i.

    Args:
        config: The hyperparameters.
        sizes: Numbers of users, items and behaviors.
        generator: Not used: the library draws from a seed.
    """

    def __init__(self, config: BPRMFConfig, sizes: Sizes, generator: torch.Generator) -> None:
        super().__init__(sizes)
        self.config = config

    def n_parts(self, graph: BehaviorGraph) -> int:
        """One for each pass."""
        return self.config.iterations

    def algorithm(self, library: ModuleType, seed: int) -> Any:
        """Stochastic gradient descent, by one thread: several would not repeat their results."""
        return library.cpu.bpr.BayesianPersonalizedRanking(
            factors=self.config.embedding_size,
            learning_rate=self.config.learning_rate,
            regularization=self.config.l2,
            iterations=self.config.iterations,
            num_threads=1,
            random_state=seed % 2**32,
        )

    def weigh(self, graph: BehaviorGraph) -> csr_array:
        """The target's interactions."""
        return matrix_of(graph.to_users[-1])
