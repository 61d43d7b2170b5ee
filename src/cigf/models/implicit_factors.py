"""Factors by the library implicit (the extra `classic`): the only place that imports it.

Axes: U users, I items, D embedding size.
"""

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import csr_array, csr_matrix
from torch import Tensor

from cigf.config import Config
from cigf.data.dataset import Dataset
from cigf.errors import MissingExtraError
from cigf.graph.bipartite import BehaviorGraph
from cigf.models.base import Representations
from cigf.models.direct import DirectRecommender, OnPart
from cigf.ranking import ScoreFactors, Scorer
from cigf.shapes import Learns


def import_implicit() -> ModuleType:
    """Return the library.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import_module("implicit.cpu.als")
        import_module("implicit.cpu.bpr")
        return import_module("implicit")
    except ImportError:
        raise MissingExtraError(
            "implicit", "classic", "a model of that library (ials, bpr-mf)"
        ) from None


def check_installed(config: Config, dataset: Dataset) -> None:
    """Refuse before training what could not be trained.

    Raises:
        MissingExtraError: The library is not installed.
    """
    import_implicit()


class ImplicitRecommender(DirectRecommender):
    """Users' and items' factors from the library; scores are inner products."""

    learns: ClassVar[Learns] = "target"
    kept: ClassVar[tuple[str, ...]] = ("user_factors", "item_factors")
    user_factors: Tensor
    item_factors: Tensor

    @abstractmethod
    def algorithm(self, library: ModuleType, seed: int) -> Any:
        """Return the library's object."""

    @abstractmethod
    def weigh(self, graph: BehaviorGraph) -> csr_array:
        """Return what it learns from, (U, I)."""

    def fit(self, graph: BehaviorGraph, seed: int, on_part: OnPart) -> None:
        """Let the library work; a part is one of its iterations."""
        library = import_implicit()
        with _one_blas_thread():
            algorithm = self.algorithm(library, seed)
            rows = csr_matrix(self.weigh(graph), dtype=np.float32)
            algorithm.fit(rows, show_progress=False, callback=lambda *_: on_part())
        self.user_factors = torch.from_numpy(np.ascontiguousarray(algorithm.user_factors))
        self.item_factors = torch.from_numpy(np.ascontiguousarray(algorithm.item_factors))

    def encode(
        self, graph: BehaviorGraph, users: Int[Tensor, "u"] | None = None
    ) -> Representations:
        """Return the factors: the graph is not used."""
        x = self.user_factors if users is None else self.user_factors[users]
        return Representations(x[:, None], self.item_factors[:, None])

    def scorer(self, representations: Representations, behavior: int) -> Scorer:
        """One matrix product for a block of users."""
        return ScoreFactors(representations.users, representations.items)

    def similar_items(self, item: int) -> Float[Tensor, "I"] | None:
        """By the cosine of the factors."""
        return None


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    """Keep BLAS from starting threads inside the library's threads, which it warns of."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):
        yield
