"""NGCF: message passing with an affinity term (Wang et al., SIGIR 2019).

doi 10.1145/3331184.3331267. The authors' program and the paper's matrix rule differ in the graph's
normalization and in where the activation stands; `rule` gives both.
"""

from abc import ABC, abstractmethod
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import dropout, leaky_relu, normalize

from cigf.graph.adjacency import Adjacency, GraphName, adjacencies
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.propagation import Normalization
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
from cigf.nn.init import xavier_uniform
from cigf.shapes import Batch, Nodes

SLOPE = 0.2
"""Of LeakyReLU, below zero."""


class NGCFConfig(GraphConfig):
    """Hyperparameters of `NGCF`; the defaults are the authors'."""

    embedding_size: PositiveInt = 64
    """Dimension D of an embedding."""
    layers: tuple[PositiveInt, ...] = (64, 64, 64)
    """Width of each layer; none is matrix factorization."""
    rule: Literal["program", "paper"] = "program"
    """program: rows of the graph with self loops sum to 1, both terms are activated by themselves;
    paper: the symmetrically normalized graph, and one activation of the sum."""
    edge_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of edges that a training step leaves out (the paper's node dropout)."""
    message_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of a layer's outputs that a training step leaves out."""
    batch_l2: NonNegativeFloat = 1e-5
    """Weight of half the squares of a pair's three final vectors, as a mean over the batch's
    pairs."""


class NGCFMultiConfig(NGCFConfig):
    """Hyperparameters of `NGCF` on the graph of all behaviors."""

    graph: GraphName = "union"
    """As for ngcf."""


DEFAULTS: Sections = {
    "sampling": {"users_per_epoch": EVERYONE, "batch_size": 1024, "positives_per_user": 1},
    "training": {
        "epochs": 400,
        "learning_rate": 1e-4,
        "schedule": "constant",
        "evaluate_every": 10,
    },
}
"""The authors' program draws distinct users for a batch, and one pair for each."""


class Layer(nn.Module, ABC):
    """One step of propagation, with the graph that it wants."""

    normalization: ClassVar[Normalization]
    self_loops: ClassVar[bool]

    @abstractmethod
    def forward(self, x: Float[Tensor, "n D"], received: Float[Tensor, "n D"]) -> Tensor:
        """Return a layer's output from its input x and what the graph made of it, S x."""


class ProgramLayer(Layer):
    """LeakyReLU(G W + b) + LeakyReLU((x o G) W' + b') with G = D^-1 (A + I) x."""

    normalization = "row"
    self_loops = True

    def __init__(self, n_inputs: int, n_outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(xavier_uniform((n_inputs, n_outputs), generator))
        self.bias = nn.Parameter(xavier_uniform((1, n_outputs), generator))
        self.affinity_weight = nn.Parameter(xavier_uniform((n_inputs, n_outputs), generator))
        self.affinity_bias = nn.Parameter(xavier_uniform((1, n_outputs), generator))

    def forward(self, x: Float[Tensor, "n D"], received: Float[Tensor, "n D"]) -> Tensor:
        """Add both activated terms."""
        passed = leaky_relu(received @ self.weight + self.bias, SLOPE)
        affinity = (x * received) @ self.affinity_weight + self.affinity_bias
        return passed + leaky_relu(affinity, SLOPE)


class PaperLayer(Layer):
    """LeakyReLU((G + x) W + (G o x) W') with G = D^-1/2 A D^-1/2 x (NGCF eq. 7)."""

    normalization = "symmetric"
    self_loops = False

    def __init__(self, n_inputs: int, n_outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(xavier_uniform((n_inputs, n_outputs), generator))
        self.affinity_weight = nn.Parameter(xavier_uniform((n_inputs, n_outputs), generator))

    def forward(self, x: Float[Tensor, "n D"], received: Float[Tensor, "n D"]) -> Tensor:
        """Activate the sum of both terms."""
        passed = (received + x) @ self.weight
        return leaky_relu(passed + (received * x) @ self.affinity_weight, SLOPE)


LAYERS: dict[str, type[ProgramLayer] | type[PaperLayer]] = {
    "program": ProgramLayer,
    "paper": PaperLayer,
}


class NGCF(DotRecommender):
    """Layers of messages; the score is the inner product of all layers side by side.

    Args:
        config: The hyperparameters.
        sizes: Numbers of users, items and behaviors.
        generator: Source of the initial weights.
    """

    node_tables = EMBEDDINGS

    def __init__(self, config: NGCFConfig, sizes: Sizes, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        size = config.embedding_size
        self.user_embedding = nn.Parameter(xavier_uniform((sizes.n_users, size), generator))
        self.item_embedding = nn.Parameter(xavier_uniform((sizes.n_items, size), generator))
        widths = (size, *config.layers)
        build = LAYERS[config.rule]
        self.layers = nn.ModuleList(
            build(n_inputs, n_outputs, generator) for n_inputs, n_outputs in pairwise(widths)
        )

    def encode(
        self, graph: BehaviorGraph, users: Int[Tensor, "u"] | None = None
    ) -> Representations:
        """Pass messages; the read-out has the normalized layers, messages the plain ones."""
        steps = self._steps(graph)
        x = Nodes(self.user_embedding, self.item_embedding)
        outputs = [x]
        for layer in self.layers:
            x = self._step(layer, steps, x)
            outputs.append(x.map(normalize))
        nodes = Nodes(*(torch.cat(side, dim=1) for side in zip(*outputs, strict=True)))
        wanted = nodes.users if users is None else look_up(nodes.users, users)
        return Representations(wanted[:, None], nodes.items[:, None])

    def _steps(self, graph: BehaviorGraph) -> list[Adjacency]:
        config, layer = self.config, LAYERS[self.config.rule]
        steps = adjacencies(
            graph,
            config.graph,
            layer.normalization,
            config.behavior_weights,
            self_loops=layer.self_loops,
        )
        rate = config.edge_dropout if self.training else 0.0
        return [step.thinned(rate) for step in steps]

    def _step(self, layer: nn.Module, steps: list[Adjacency], x: Nodes) -> Nodes:
        """Apply a layer on every graph and take the mean."""
        received = [step(x) for step in steps]
        means = []
        for own, sent in zip(x, zip(*received, strict=True), strict=True):
            total = sum(layer(own, each) for each in sent)
            means.append(dropout(total / len(sent), self.config.message_dropout, self.training))
        return Nodes(*means)

    def penalty(self, representations: Representations, batch: Batch) -> Float[Tensor, ""]:
        """Half the squared norms of the batch's final vectors, per pair."""
        pairs = batch.pairs[-1]
        chosen = (
            look_up(representations.users, pairs.rows),
            look_up(representations.items, torch.cat([pairs.positives, pairs.negatives])),
        )
        squares = torch.stack([each.square().sum() for each in chosen]).sum()
        return 0.5 * self.config.batch_l2 * squares / max(1, len(pairs.rows))
