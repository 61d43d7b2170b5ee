"""GHCF: Graph Heterogeneous Collaborative Filtering (Chen et al., AAAI 2021).

"Graph Heterogeneous Multi-Relational Recommendation", pages 3958-3966. Behaviors are relations
with embeddings of their own, which are propagated too and weigh the score's coordinates; the loss
looks at every pair of a user and an item, so no negatives are sampled.

Axes: U users, I items, B behaviors, D embedding size, L layers.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from cigf.config import ModelConfig
from cigf.data.dataset import Dataset
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.dropout import drop_edges
from cigf.graph.gather_sum import Edges, gather_sum
from cigf.losses import whole_data_square
from cigf.models.base import EVERYONE, Recommender, Representations, Sections, Sizes
from cigf.models.several import check_several, check_shares, shares
from cigf.nn.dropout import drop_values
from cigf.nn.init import xavier_uniform
from cigf.ranking import ScoreFactors, Scorer
from cigf.shapes import Batch, Nodes

SLOPE = 0.2
"""Of the leaky ReLU."""

DEFAULTS: Sections = {
    "sampling": {"users_per_epoch": EVERYONE},
    "training": {"epochs": 500, "schedule": "constant", "l2": 0.0},
}
"""The authors' setting."""


class GHCFConfig(ModelConfig):
    """Hyperparameters of `GHCF`; the defaults are the published program's for Taobao."""

    embedding_size: PositiveInt = 64
    """Dimension D of an embedding."""
    n_layers: NonNegativeInt = 4
    """Layers L of propagation."""
    coefficients: tuple[NonNegativeFloat, ...] = ()
    """Weight of each behavior, in the loss and in the propagation, divided by their sum; none
    stands for equal ones."""
    negative_weight: NonNegativeFloat = 0.01
    """Weight in the loss of a pair that is not there, against 1 of a pair that is."""
    embedding_l2: NonNegativeFloat = 0.01
    """Weight of half the sum of squares of the propagated vectors of all items and of the batch's
    users."""
    message_dropout: float = Field(default=0.2, ge=0, lt=1)
    """Share of a layer's coordinates that is left out in training."""
    edge_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of the edges that is left out in training."""


def check(config: GHCFConfig, dataset: Dataset) -> None:
    """Refuse a single behavior, and coefficients for another number of behaviors."""
    check_several(config, dataset)
    check_shares("coefficients", config.coefficients, dataset)


def whole_users(config: GHCFConfig) -> Sections:
    """Options that the loss fixes: it needs a user's positives all, each once, and no negatives."""
    return {"sampling": {"unit": "users", "positives_per_user": 0, "negatives_per_positive": 0}}


class GHCF(Recommender):
    """Relation-aware graph convolution, a bilinear score, and a square loss over all pairs.

        E^l = sum_k c_k LeakyReLU((S_k E^(l-1) * r_k^(l-1)) W^l),  r_k^l = r_k^(l-1) V^l
        y_k(u, i) = sum_d e_ud e_id r_kd

    with S_k the symmetric-normalized graph of behavior k, and e and r the means over the layers.

    Args:
        config: The hyperparameters.
        sizes: Numbers of users, items and behaviors.
        generator: Source of the initial weights.
    """

    def __init__(self, config: GHCFConfig, sizes: Sizes, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        size, n_layers = config.embedding_size, config.n_layers
        self.coefficients = shares(config.coefficients, sizes.n_behaviors).tolist()
        self.user_embedding = nn.Parameter(xavier_uniform((sizes.n_users, size), generator))
        self.item_embedding = nn.Parameter(xavier_uniform((sizes.n_items, size), generator))
        self.relation_embedding = nn.Parameter(xavier_uniform((sizes.n_behaviors, size), generator))
        self.node_weight = nn.Parameter(xavier_uniform((n_layers, size, size), generator))
        self.relation_weight = nn.Parameter(xavier_uniform((n_layers, size, size), generator))

    def encode(
        self, graph: BehaviorGraph, users: Int[Tensor, "u"] | None = None
    ) -> Representations:
        """Propagate; only the last layer is limited to `users`."""
        dropped = drop_edges(graph, self.config.edge_dropout if self.training else 0.0)
        weights = self._layer_weights()
        below = [Nodes(self.user_embedding, self.item_embedding)]
        for weight in weights[:-1]:
            below.append(self._propagate(graph, dropped, below[-1], weight, None))
        layers = [x if users is None else Nodes(x.users[users], x.items) for x in below]
        if weights:
            layers.append(self._propagate(graph, dropped, below[-1], weights[-1], users))
        return Representations(
            torch.stack([x.users for x in layers], 1).mean(1, keepdim=True),
            torch.stack([x.items for x in layers], 1).mean(1, keepdim=True),
        )

    def loss(self, representations: Representations, batch: Batch) -> Float[Tensor, "B"]:
        """Weighted square error over all pairs of each behavior; the penalty is in the last."""
        users, items = representations.users[:, 0], representations.items[:, 0]
        losses = [
            share
            * whole_data_square(
                users, items, relation, pairs.rows, pairs.positives, self.config.negative_weight
            )
            for share, relation, pairs in zip(
                self.coefficients, self.relations(), batch.pairs, strict=True
            )
        ]
        penalty = 0.5 * self.config.embedding_l2 * (users.square().sum() + items.square().sum())
        return torch.stack([*losses[:-1], losses[-1] + penalty])

    def scorer(self, representations: Representations, behavior: int) -> Scorer:
        """The relation weighs the users' coordinates: one matrix product for a block of users."""
        return ScoreFactors(
            representations.users * self.relations()[behavior], representations.items
        )

    def relations(self) -> Float[Tensor, "B D"]:
        """Return the behaviors' vectors, averaged over the layers."""
        return torch.stack(self._relation_layers()).mean(0)

    def _relation_layers(self) -> list[Float[Tensor, "B D"]]:
        layers: list[Tensor] = [self.relation_embedding]
        for weight in self.relation_weight:
            layers.append(layers[-1] @ weight)
        return layers

    def _layer_weights(self) -> list[Float[Tensor, "B D D"]]:
        """Return c_k diag(r_k) W of each layer, over the share of edges that is kept.

        The leaky ReLU lets positive factors pass, so what weighs its result can stand here.
        """
        kept = 1.0 - self.config.edge_dropout if self.training else 1.0
        factors = self.node_weight.new_tensor(self.coefficients)[:, None, None] / kept
        relations = self._relation_layers()[:-1]
        return [
            factors * relation[:, :, None] * weight
            for relation, weight in zip(relations, self.node_weight, strict=True)
        ]

    def _propagate(
        self,
        graph: BehaviorGraph,
        dropped: BehaviorGraph,
        x: Nodes,
        weights: Float[Tensor, "B D D"],
        wanted: Int[Tensor, "u"] | None,
    ) -> Nodes:
        """Compute one layer, for all users or the wanted ones."""
        scales = graph.degree_powers(-0.5)
        to_users: tuple[Edges, ...] = dropped.to_users
        back: tuple[Edges | None, ...] = dropped.to_items
        user_scales = scales.users
        if wanted is not None:
            to_users = tuple(edges.select(wanted) for edges in to_users)
            back, user_scales = (None,) * len(to_users), user_scales[wanted]
        return Nodes(
            self._receive(to_users, back, x.items, user_scales, scales.items, weights),
            self._receive(
                dropped.to_items, dropped.to_users, x.users, scales.items, scales.users, weights
            ),
        )

    def _receive(
        self,
        edges: Sequence[Edges],
        back: Sequence[Edges | None],
        x: Float[Tensor, "senders D"],
        receive: Float[Tensor, "receivers B"],
        send: Float[Tensor, "senders B"],
        weights: Float[Tensor, "B D D"],
    ) -> Float[Tensor, "receivers D"]:
        total = x.new_zeros(len(receive), x.shape[1])
        for k, coefficient in enumerate(self.coefficients):
            if coefficient:
                sums = gather_sum(edges[k], back[k], x * send[:, k, None]) * receive[:, k, None]
                total = total + leaky_relu(sums @ weights[k], SLOPE)
        return drop_values(total, self.config.message_dropout if self.training else 0.0)
