"""EASE: a linear autoencoder without a diagonal, in closed form (Steck, WWW 2019).

"Embarrassingly Shallow Autoencoders for Sparse Data", doi 10.1145/3308558.3313710.

Axes: U users, I items, B behaviors.
"""

from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from pydantic import PositiveFloat, PositiveInt
from scipy.sparse import csr_array
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

DEFECT = 0.01
"""From where on an inverse is taken for spoiled: scores are then wrong by about a percent. With the
default options, that of 12,000 items returns vectors to 1e-5."""

TRIES = 8
"""Vectors that an inverse is tried with: a single one may lie where it is right."""


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
        """Invert the Gram matrix, in double precision where single precision does not do.

        Raises:
            ConfigError: Double precision does not do either.
        """
        super().fit(graph, seed, on_part)
        weighted, l2 = weighted_sum(matrices_of(graph), self._weights), self.config.l2
        inverse = _inverse(weighted, l2, np.dtype(np.float32), seed, on_part)
        if inverse is None:
            inverse = _inverse(weighted, l2, np.dtype(np.float64), seed, lambda: None)
        if inverse is None:
            raise ConfigError(
                f"model.l2: {l2} is too small for these data: items that go together leave a "
                "matrix that cannot be inverted in double precision; raise it"
            )
        inverse /= -np.diag(inverse).copy()
        np.fill_diagonal(inverse, 0.0)
        self.item_weights = torch.from_numpy(np.ascontiguousarray(inverse, np.float32))
        on_part()

    def scorer(self, representations: Representations, behavior: int) -> Scorer:
        """A sparse row times the weights."""
        rows = weighted_sum(self.histories(representations.users), self._weights)
        return SparseScorer(rows, self.item_weights.cpu().numpy())

    def similar_items(self, item: int) -> Float[Tensor, "I"]:
        """What having an item says about each other one."""
        return self.item_weights[item].clone()


def _inverse(
    weighted: csr_array, l2: float, kind: np.dtype, seed: int, on_factor: OnPart
) -> np.ndarray | None:
    """Return P of some weights W, computed in place by a Cholesky factor.

    Args:
        weighted: W, (U, I).
        l2: lambda.
        kind: Type of the numbers that are computed with.
        seed: Of the vectors that the result is tried with.
        on_factor: Called when the factor is there.

    Returns:
        P, or None where rounding errors spoil it.
    """
    # It takes long to import, and no other model needs it.
    from scipy.linalg.lapack import dpotrf, dpotri, spotrf, spotri

    potrf, potri = (spotrf, spotri) if kind == np.float32 else (dpotrf, dpotri)
    exact = weighted.astype(kind)
    gram = np.asfortranarray((exact.T @ exact).toarray(order="F"), kind)
    gram[np.diag_indices_from(gram)] += kind.type(l2)
    factor, failed = potrf(gram, lower=1, overwrite_a=1)
    on_factor()
    if failed:
        return None
    inverse, failed = potri(factor, lower=1, overwrite_c=1)
    if failed:
        return None
    _mirror(inverse)
    return inverse if _is_inverse(inverse, weighted, l2, seed) else None


def _is_inverse(inverse: np.ndarray, weighted: csr_array, l2: float, seed: int) -> bool:
    """Try whether (W^T W + lambda I) P returns random vectors (Freivalds)."""
    drawn = np.random.default_rng(seed).normal(size=(len(inverse), TRIES))
    x = (inverse @ drawn.astype(inverse.dtype)).astype(np.float64)
    returned = weighted.T @ (weighted @ x) + l2 * x
    return bool(np.abs(returned - drawn).max(initial=0.0) < DEFECT)


def _mirror(lower: np.ndarray) -> None:
    """Copy the lower triangle to the upper one, in place and a block at a time."""
    size = 1024
    for start in range(0, len(lower), size):
        block = slice(start, start + size)
        lower[block, start + size :] = lower[start + size :, block].T
        corner = lower[block, block]
        corner[...] = np.tril(corner) + np.tril(corner, -1).T
