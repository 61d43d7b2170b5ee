"""MBGCN: Multi-Behavior Graph Convolutional Network (Jin et al., SIGIR 2020).

"Multi-behavior Recommendation with Graph Convolutional Networks". Users are propagated with a
learned weight per behavior; items are also compared through what their users have in common,
behavior by behavior. Only the target's labels are learned from.

Axes: U users, u of them wanted, I items, B behaviors, D embedding size, F = 2 D (B + 1).
"""

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float, Int
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from cigf.config import ModelConfig
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.dropout import drop_edges
from cigf.graph.gather_sum import gather_sum
from cigf.models.base import EMBEDDINGS, DotRecommender, Representations, Sections, Sizes
from cigf.nn.dropout import drop_values
from cigf.nn.init import xavier_uniform
from cigf.shapes import Batch, Nodes

DEFAULTS: Sections = {
    "sampling": {"unit": "interactions", "batch_size": 2048},
    "training": {"learning_rate": 3e-4, "schedule": "constant", "l2": 0.0, "patience": 17},
}
"""The authors' setting for Tmall: one negative for each purchase, patience of 50 epochs."""


class MBGCNConfig(ModelConfig):
    """Hyperparameters of `MBGCN`; the defaults are the published program's for Tmall."""

    embedding_size: PositiveInt = 64
    """Dimension D of an embedding."""
    relevance: NonNegativeFloat = 1.0
    """Weight lambda of the items' relevance beside the inner product of user and item."""
    embedding_l2: NonNegativeFloat = 1e-4
    """Weight of the sum of squares of the propagated vectors of each pair's user and items."""
    message_dropout: float = Field(default=0.2, ge=0, lt=1)
    """Share of the propagated vectors' coordinates that is left out in training."""
    edge_dropout: float = Field(default=0.2, ge=0, lt=1)
    """Share of the edges that is left out in training."""


class MBGCN(DotRecommender):
    """Weighted propagation to users, and relevance of items to the user's items.

        score = <x || x', z || z'> + (lambda / B) sum_k <A_k M_k, z || t_k>

    where x' is the user's neighbors' mean weighed by behavior, z' the sum of the item's buyers,
    t_k the mean of the items that share users of behavior k with the item, and A_k the mean of
    z || t_k over the user's items. All of it is one inner product of width F.

    Args:
        config: The hyperparameters.
        sizes: Numbers of users, items and behaviors.
        generator: Source of the initial weights.
    """

    node_tables = EMBEDDINGS

    def __init__(self, config: MBGCNConfig, sizes: Sizes, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        size, n_behaviors = config.embedding_size, sizes.n_behaviors
        self.user_embedding = nn.Parameter(xavier_uniform((sizes.n_users, size), generator))
        self.item_embedding = nn.Parameter(xavier_uniform((sizes.n_items, size), generator))
        self.behavior_weight = nn.Parameter(torch.ones(n_behaviors))
        self.weight = nn.Parameter(xavier_uniform((size, size), generator))
        self.shared_weight = nn.Parameter(xavier_uniform((n_behaviors, size, size), generator))
        wide = (n_behaviors, 2 * size, 2 * size)
        self.relevance_weight = nn.Parameter(xavier_uniform(wide, generator))

    def encode(
        self, graph: BehaviorGraph, users: Int[Tensor, "u"] | None = None
    ) -> Representations:
        """Compute both parts of the score as factors, side by side."""
        rate = self.config.edge_dropout if self.training else 0.0
        dropped = drop_edges(graph, rate)
        wanted = torch.arange(graph.n_users, device=graph.device) if users is None else users
        z = self.item_embedding
        relevance = [torch.cat([z, shared], 1) for shared in self._shared(graph)]
        sums = [
            gather_sum(edges.select(wanted), None, items) / (1.0 - rate)
            for edges, items in zip(dropped.to_users, relevance, strict=True)
        ]
        buyers = dropped.gather_sum(-1, Nodes(self.user_embedding, z)).items / (1.0 - rate)
        x, degrees = self.user_embedding[wanted], graph.degree_powers(1.0).users[wanted]
        plain = Nodes(
            torch.cat([x, self._weighed(sums, degrees) @ self.weight], 1),
            torch.cat([z, buyers @ self.weight], 1),
        ).map(lambda side: drop_values(side, self.config.message_dropout if self.training else 0.0))
        means = self._means(sums, graph.degree_powers(-1.0).users[wanted])
        return Representations(
            torch.cat([plain.users, *means], 1)[:, None],
            torch.cat([plain.items, *relevance], 1)[:, None],
        )

    def penalty(self, representations: Representations, batch: Batch) -> Tensor:
        """L2 of the first part's vectors; a pair counts its user twice, as the program does."""
        pairs, width = batch.pairs[-1], 2 * self.config.embedding_size
        users, items = (
            side[:, 0, :width].square().sum(1)
            for side in (representations.users, representations.items)
        )
        chosen = torch.cat([pairs.positives, pairs.negatives])
        total = (
            2.0 * (users * torch.bincount(pairs.rows, minlength=len(users))).sum()
            + (items * torch.bincount(chosen, minlength=len(items))).sum()
        )
        return self.config.embedding_l2 * total / max(1, len(pairs.rows))

    def _shared(self, graph: BehaviorGraph) -> list[Float[Tensor, "I D"]]:
        """Compute t_k: the mean of the other items, one for every user in common, times W_k.

        That is Y^T (Y Z) without the item itself: two passes of the graph, where a matrix of all
        pairs of items would be far too large.
        """
        z, counts = self.item_embedding, _common_users(graph)
        degrees = graph.degree_powers(1.0).items
        found = []
        for k, weight in enumerate(self.shared_weight):
            to_users, to_items = graph.to_users[k], graph.to_items[k]
            sums = gather_sum(to_items, to_users, gather_sum(to_users, to_items, z))
            others = sums - degrees[:, k, None] * z
            found.append((others / counts[:, k, None].clamp(min=1.0)) @ weight)
        return found

    def _weighed(
        self, sums: Sequence[Float[Tensor, "u _"]], degrees: Float[Tensor, "u B"]
    ) -> Float[Tensor, "u D"]:
        """Average a user's items over all behaviors, each interaction by its behavior's weight."""
        size = self.config.embedding_size
        total = degrees @ self.behavior_weight
        weighed = torch.stack([each[:, :size] for each in sums], 2) @ self.behavior_weight
        return weighed / torch.where(total == 0, 1.0, total)[:, None]

    def _means(
        self, sums: Sequence[Float[Tensor, "u _"]], inverse: Float[Tensor, "u B"]
    ) -> list[Float[Tensor, "u _"]]:
        """Compute (lambda / B) A_k M_k."""
        factor = self.config.relevance / len(sums)
        return [
            (factor * inverse[:, k, None] * each) @ weight
            for k, (each, weight) in enumerate(zip(sums, self.relevance_weight, strict=True))
        ]


def _common_users(graph: BehaviorGraph) -> Float[Tensor, "I B"]:
    """Sum over the other items how many users they share with an item; once per graph."""
    if "common users" not in graph.derived:
        degrees = graph.degree_powers(1.0)
        sums = [
            graph.gather_sum(k, Nodes(degrees.users[:, k, None], degrees.items[:, k, None])).items
            for k in range(graph.n_behaviors)
        ]
        graph.derived["common users"] = torch.cat(sums, 1) - degrees.items
    return cast(Tensor, graph.derived["common users"])
