"""LightGCN: linear propagation and the mean over layers (He et al., SIGIR 2020).

doi 10.1145/3397271.3401063. Without layers it is matrix factorization by BPR.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from cigf.graph.adjacency import GraphName, adjacencies
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.powers import mean_of_powers
from cigf.models.base import (
    EMBEDDINGS,
    EVERYONE,
    DotRecommender,
    Representations,
    Sections,
    Sizes,
    look_up,
)
from cigf.models.graph_options import GraphConfig
from cigf.nn.init import normal, xavier_uniform
from cigf.shapes import Batch, Nodes


class LightGCNConfig(GraphConfig):
    """Hyperparameters of `LightGCN`; the defaults are the authors'."""

    embedding_size: PositiveInt = 64
    """Dimension D of an embedding."""
    n_layers: NonNegativeInt = 3
    """Layers L of propagation; 0 is matrix factorization."""
    initialization: Literal["normal", "xavier"] = "normal"
    """How embeddings begin; nothing else gives the model a scale, so it matters."""
    initial_deviation: PositiveFloat = 0.01
    """Standard deviation of the normal initialization (the PyTorch release has 0.1)."""
    batch_l2: NonNegativeFloat = 1e-4
    """Weight of half the squares of a pair's three embeddings, as a mean over the batch's pairs."""


class LightGCNMultiConfig(LightGCNConfig):
    """Hyperparameters of `LightGCN` on the graph of all behaviors."""

    graph: GraphName = "union"
    """As for lightgcn."""


DEFAULTS: Sections = {
    "sampling": {"users_per_epoch": EVERYONE, "batch_size": 2048, "positives_per_user": 1},
    "training": {"epochs": 1000, "schedule": "constant", "evaluate_every": 10},
}
"""The authors' program draws distinct users for a batch, and one pair for each."""


class LightGCN(DotRecommender):
    """Mean of the powers of the symmetrically normalized graph, applied to the embeddings.

    Args:
        config: The hyperparameters.
        sizes: Numbers of users, items and behaviors.
        generator: Source of the initial embeddings.
    """

    node_tables = EMBEDDINGS
    loss_tables = ("item_embedding",)

    def __init__(self, config: LightGCNConfig, sizes: Sizes, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config

        def table(n_rows: int) -> nn.Parameter:
            shape = (n_rows, config.embedding_size)
            if config.initialization == "xavier":
                return nn.Parameter(xavier_uniform(shape, generator))
            return nn.Parameter(normal(shape, config.initial_deviation, generator))

        self.user_embedding = table(sizes.n_users)
        self.item_embedding = table(sizes.n_items)

    def encode(
        self, graph: BehaviorGraph, users: Int[Tensor, "u"] | None = None
    ) -> Representations:
        """Propagate the embeddings and average the layers."""
        config = self.config
        steps = adjacencies(graph, config.graph, "symmetric", config.behavior_weights)
        ego = Nodes(self.user_embedding, self.item_embedding)
        nodes = mean_of_powers(steps, ego, config.n_layers)
        wanted = nodes.users if users is None else look_up(nodes.users, users)
        return Representations(wanted[:, None], nodes.items[:, None])

    def penalty(self, representations: Representations, batch: Batch) -> Float[Tensor, ""]:
        """Half the squared norms of the batch's embeddings before propagation, per pair."""
        pairs = batch.pairs[-1]
        chosen = (
            look_up(self.user_embedding, batch.users[pairs.rows]),
            look_up(self.item_embedding, torch.cat([pairs.positives, pairs.negatives])),
        )
        squares = torch.stack([each.square().sum() for each in chosen]).sum()
        return 0.5 * self.config.batch_l2 * squares / max(1, len(pairs.rows))
