"""MB-GMN: Graph Meta Network for Multi-Behavior Recommendation (Xia et al., SIGIR 2021).

arXiv:2110.03969. A first network makes, for every node and behavior, the low-rank transform with
which the node's embedding enters that behavior's graph; a second one makes, for every pair, source
and target behavior, the weights of the layer that scores the pair. Beside the behaviors there is a
joint source, number 0, whose messages attend to each other.

Axes: U users, I items, n nodes or pairs, B behaviors, A = B + 1 sources, d embedding size, D = 2 d,
R rank, L layers, H heads.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from cigf.config import Config
from cigf.graph.adjacency import Adjacency, adjacencies
from cigf.graph.bipartite import BehaviorGraph
from cigf.losses import hinge
from cigf.models.base import Recommender, Representations, Sizes, look_up
from cigf.nn.init import xavier_uniform
from cigf.nn.meta_head import SLOPE, MetaHead
from cigf.nn.meta_scorer import MetaScorer
from cigf.ranking import Scorer
from cigf.shapes import Batch, Nodes, Pairs


class MBGMNConfig(Config):
    """Hyperparameters of `MBGMN`; the defaults are the published program's for Beibei."""

    embedding_size: PositiveInt = 16
    """Dimension d of an embedding; what is propagated has twice as many (the program's latdim)."""
    rank: PositiveInt = 4
    """Rank R of a node's transforms."""
    n_layers: NonNegativeInt = 2
    """Layers L of propagation."""
    n_heads: PositiveInt = 2
    """Heads H of the attention between behaviors; they divide 2 d."""
    score_scale: PositiveFloat = 100.0
    """Factor of every score."""

    @model_validator(mode="after")
    def _heads_fit(self) -> "MBGMNConfig":
        if 2 * self.embedding_size % self.n_heads:
            raise ValueError("n_heads must divide twice the embedding_size")
        return self


class Transforms(nn.Module):
    """x -> [x U V || x], with U (d, R), V (R, d) made for each node from what it is and receives.

    Args:
        size: d.
        rank: R.
        generator: Source of the initial weights.
    """

    def __init__(self, size: int, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(xavier_uniform((3 * size, size), generator))
        self.bias = nn.Parameter(torch.zeros(size))
        # Of U and V, each for users and for items; the first layer is shared.
        wide = (2, 2, size, size * rank)
        self.factor_weight = nn.Parameter(xavier_uniform(wide, generator))
        self.factor_bias = nn.Parameter(torch.zeros(2, 2, size * rank))
        self._shapes = (size, rank), (rank, size)

    def forward(self, behavior: Float[Tensor, "d"], x: Nodes, received: Nodes) -> Nodes:
        """Transform all nodes for one source."""
        sides = []
        for side in range(2):
            own = x[side]
            inputs = torch.cat([behavior.expand_as(own), own, received[side]], dim=1)
            meta = leaky_relu(inputs @ self.weight + self.bias, SLOPE)
            u, v = (
                (meta @ self.factor_weight[side, part] + self.factor_bias[side, part]).view(
                    -1, *self._shapes[part]
                )
                for part in range(2)
            )
            low_rank = (own[:, None] @ u @ v)[:, 0]
            sides.append(torch.cat([low_rank, own], dim=1))
        return Nodes(*sides)


def attend(
    messages: Float[Tensor, "n B D"], weight: Float[Tensor, "D D"], n_heads: int
) -> Float[Tensor, "n B D"]:
    """Add to each message what it attends to: one weight for queries and keys, none for values."""
    heads = (*messages.shape[:2], n_heads, -1)
    asked, values = (messages @ weight).view(heads), messages.reshape(heads)
    logits = torch.einsum("nihe,njhe->nhij", asked, asked) / asked.shape[3] ** 0.5
    return messages + torch.einsum("nhij,njhe->nihe", logits.softmax(3), values).flatten(2)


class MBGMN(Recommender):
    """Meta-learned propagation of every behavior and of their union, and a meta-learned score.

    Args:
        config: The hyperparameters.
        sizes: Numbers of users, items and behaviors.
        generator: Source of the initial weights.
    """

    def __init__(self, config: MBGMNConfig, sizes: Sizes, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        size, wide = config.embedding_size, 2 * config.embedding_size

        def table(*shape: int) -> nn.Parameter:
            return nn.Parameter(xavier_uniform(shape, generator))

        self.user_embedding = table(sizes.n_users, size)
        self.item_embedding = table(sizes.n_items, size)
        self.source_embedding = table(sizes.n_behaviors + 1, size)
        self.transforms = Transforms(size, config.rank, generator)
        self.attention_weight = table(config.n_layers, 2, wide, wide)
        self.head = MetaHead(wide, config.score_scale, generator)

    def encode(
        self, graph: BehaviorGraph, users: Int[Tensor, "u"] | None = None
    ) -> Representations:
        """Propagate under every source; the joint one is the first."""
        steps = adjacencies(graph, "per-behavior", "symmetric")
        ego = Nodes(self.user_embedding, self.item_embedding)
        received = [step(ego) for step in steps]
        received.insert(0, _sum(received))
        begun = [
            self.transforms(behavior, ego, each)
            for behavior, each in zip(self.source_embedding, received, strict=True)
        ]
        ended = [self._joint(steps, begun[0])]
        ended += [self._single(step, x) for step, x in zip(steps, begun[1:], strict=True)]
        by_user = torch.stack([x.users for x in ended], dim=1)
        by_item = torch.stack([x.items for x in ended], dim=1)
        return Representations(by_user if users is None else look_up(by_user, users), by_item)

    def loss(self, representations: Representations, batch: Batch) -> Float[Tensor, "B"]:
        """Hinge of each behavior's pairs, scored from every source: summed over the sources."""
        scores = self._from_all_sources(representations, batch.pairs)
        losses = [
            scores[0].shape[1] * hinge(positive.flatten(), negative.flatten())
            for positive, negative in zip(scores[::2], scores[1::2], strict=True)
        ]
        return torch.stack(losses)

    def scorer(self, representations: Representations, behavior: int) -> Scorer:
        """From the joint source: every pair has a layer of its own."""
        own = [0, behavior + 1]
        users, items = representations.users[:, own], representations.items[:, own]
        return MetaScorer(self.head, users, items)

    def regularized(self) -> list[nn.Parameter]:
        """Tables and weights; no sources' embeddings, no biases."""
        kept = ("source_embedding", "bias")
        named = self.named_parameters()
        return [p for name, p in named if not any(part in name for part in kept)]

    def _single(self, step: Adjacency, x: Nodes) -> Nodes:
        """Propagate along one behavior, with what a node was kept in every layer."""
        layers = [x]
        for _ in range(self.config.n_layers):
            x = _sum([step(x).map(_activate), x])
            layers.append(x)
        return _sum(layers)

    def _joint(self, steps: Sequence[Adjacency], x: Nodes) -> Nodes:
        """Propagate along all behaviors, whose messages attend to each other."""
        layers = [x]
        for weights in self.attention_weight:
            messages = [step(x).map(_activate) for step in steps]
            users, items = (
                attend(torch.stack(side, dim=1), weight, self.config.n_heads).sum(1)
                for side, weight in zip(zip(*messages, strict=True), weights, strict=True)
            )
            x = Nodes(users, items)
            layers.append(x)
        return _sum(layers)

    def _from_all_sources(
        self, representations: Representations, several: Sequence[Pairs]
    ) -> Sequence[Float[Tensor, "_n A"]]:
        """Score all behaviors' positives and negatives at once, as they share their users."""
        rows = torch.cat([torch.cat([pairs.rows, pairs.rows]) for pairs in several])
        chosen = torch.cat([torch.cat([p.positives, p.negatives]) for p in several])
        sizes = [len(pairs.rows) for pairs in several for _ in range(2)]
        items = look_up(representations.items, chosen)
        described = self.head.describe(look_up(representations.users, rows), items)
        targets = [
            each[:, 1 + part // 2] for part, each in enumerate(torch.split(described, sizes))
        ]
        scores = self.head.of_sources(
            representations.users, items, described, torch.cat(targets), rows
        )
        return torch.split(scores, sizes)


def _activate(x: Tensor) -> Tensor:
    return leaky_relu(x, SLOPE)


def _sum(several: Sequence[Nodes]) -> Nodes:
    return Nodes(
        torch.stack([x.users for x in several]).sum(0),
        torch.stack([x.items for x in several]).sum(0),
    )
