"""Models that are computed from the graph in one go, not learned in steps.

Axes: U users, I items, B behaviors.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import PositiveFloat
from scipy.sparse import csr_array, vstack
from torch import Tensor

from cigf.config import ModelConfig
from cigf.data.dataset import Dataset, Matrix, matrix_from_parts
from cigf.errors import ConfigError
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.cooccurrence import matrices_of, matrix_of
from cigf.graph.gather_sum import Edges
from cigf.models.base import Memory, Recommender, Representations, Sections, Sizes
from cigf.models.several import check_shares
from cigf.shapes import Batch

OnPart = Callable[[], None]
"""Called when a part of the work is done."""

DEFAULTS: Sections = {"training": {"epochs": 1, "evaluate_every": 1}}
"""One pass. Nothing else of [sampling] and [training] is used."""


class DirectRecommender(Recommender):
    """A model that `fit` computes; what it found are buffers, kept in artifacts as weights are.

    Args:
        sizes: Numbers of users, items and behaviors.
    """

    kept: ClassVar[tuple[str, ...]]
    """Names of the buffers; `fit` sets each of them."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        for name in self.kept:
            self.register_buffer(name, torch.empty(0))

    def n_parts(self, graph: BehaviorGraph) -> int:
        """Return how often `fit` calls `on_part`."""
        return 1

    @abstractmethod
    def fit(self, graph: BehaviorGraph, seed: int, on_part: OnPart) -> None:
        """Compute what is kept.

        Args:
            graph: All behaviors' training edges.
            seed: Of whatever is drawn.
            on_part: Called after each of `n_parts` parts.
        """

    def loss(self, representations: Representations, batch: Batch) -> Float[Tensor, "B"]:
        """There is none.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(f"{type(self).__name__} is not learned in steps; call its fit")

    def similar_items(self, item: int) -> Float[Tensor, "I"] | None:
        """Refuse, unless a model says otherwise."""
        raise ConfigError(
            f"{type(self).__name__} knows no similarity of items; train a model that does, such as "
            "item-knn or cigf"
        )

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Take over what another's `fit` found, of whatever shapes."""
        for name in self.kept:
            if name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[name]))
        return super().load_state_dict(state_dict, strict, assign)


class HistoryRecommender(DirectRecommender):
    """Its scores are a function of what a user did, so that it keeps everybody's interactions.

    Users are represented by their rows in what it keeps: vectors of no width. Single users, such as
    those folded in, are represented by their interactions, (u, B, I).
    """

    kept: ClassVar[tuple[str, ...]] = ("history_offsets", "history_items")
    history_offsets: Tensor
    history_items: Tensor

    def fit(self, graph: BehaviorGraph, seed: int, on_part: OnPart) -> None:
        """Keep the interactions, one behavior below the other: a matrix of (B U, I)."""
        below = vstack(matrices_of(graph), format="csr")
        self.history_offsets = torch.from_numpy(below.indptr.astype(np.int64))
        self.history_items = torch.from_numpy(below.indices.astype(np.int32))

    def encode(
        self, graph: BehaviorGraph, users: Int[Tensor, "u"] | None = None
    ) -> Representations:
        """Represent all users by their place, or some by what they did."""
        n_users, n_items, n_behaviors = graph.n_users, graph.n_items, graph.n_behaviors
        items = torch.zeros(n_items, n_behaviors, 0)
        if users is None:
            return Representations(torch.zeros(n_users, n_behaviors, 0), items)
        chosen = [edges.select(users) for edges in graph.to_users]
        return Representations(_dense(chosen), items)

    def histories(self, users: Float[Tensor, "u B _"]) -> tuple[Matrix, ...]:
        """Return what represented users did, one matrix per behavior."""
        if users.shape[2]:
            each = (csr_array(one.cpu().numpy()) for one in users.unbind(1))
            return tuple(matrix_from_parts(m.indptr, m.indices, m.shape) for m in each)
        offsets, items = self.history_offsets.cpu().numpy(), self.history_items.cpu().numpy()
        return tuple(
            matrix_from_parts(
                offsets[first : first + len(users) + 1] - offsets[first],
                items[offsets[first] : offsets[first + len(users)]],
                (len(users), self.sizes.n_items),
            )
            for first in range(0, len(offsets) - 1, len(users))
        )

    def remember(self, graph: BehaviorGraph) -> Memory:
        """Nothing but the sizes: what matters is kept anyway."""
        return {"sizes": torch.tensor([graph.n_users, graph.n_items, graph.n_behaviors])}

    def fold_in(
        self, memory: Memory, events: Sequence[Edges], users: Int[Tensor, "u"]
    ) -> Float[Tensor, "u B I"]:
        """Represent users by what they did."""
        return _dense(events)


def _dense(edges: Sequence[Edges]) -> Float[Tensor, "u B I"]:
    return torch.from_numpy(np.stack([matrix_of(each).toarray() for each in edges], axis=1))


class WeightedConfig(ModelConfig):
    """How much a user has to do with an item."""

    behavior_weights: tuple[PositiveFloat, ...] = ()
    """What each behavior adds to it, the target's last; none stands for 1, 3, 5 and so on."""


def check_weights(config: WeightedConfig, dataset: Dataset) -> None:
    """Refuse weights that are not one for each behavior.

    Raises:
        ConfigError: There are more, or fewer.
    """
    check_shares("behavior_weights", config.behavior_weights, dataset, "1, 3, 5 and so on")


def depth_weights(given: Sequence[float], n_behaviors: int) -> tuple[float, ...]:
    """Return the weights given, or 1, 3, 5 and so on: the deeper in the funnel, the more."""
    return tuple(given) or tuple(2.0 * depth + 1.0 for depth in range(n_behaviors))
