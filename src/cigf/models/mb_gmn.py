"""MB-GMN: Graph Meta Network for Multi-Behavior Recommendation (Xia et al., SIGIR 2021).

arXiv:2110.03969. A first network makes, for every node and behavior, the low-rank transform with
which the node's embedding enters that behavior's graph; a second one makes, for every pair, source
and target behavior, the weights of the layer that scores the pair. Beside the behaviors there is a
joint source, number 0, whose messages attend to each other.

Axes: U users, I items, n nodes or pairs, B behaviors, A = B + 1 sources, d embedding size, D = 2 d,
R rank, L layers, H heads.
"""

import torch
from jaxtyping import Float, Int
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pad

from cigf.config import ModelConfig
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.needed import steps_for
from cigf.graph.propagation import Propagation, propagate_all
from cigf.models.base import Recommender, Representations, Sizes, look_up
from cigf.nn.init import xavier_uniform
from cigf.nn.message_attention import attended_sum
from cigf.nn.meta_head import MetaHead
from cigf.nn.meta_losses import Compared
from cigf.nn.meta_scorer import MetaScorer
from cigf.nn.meta_scores import SLOPE
from cigf.ranking import Scorer
from cigf.shapes import Batch, Nodes


class MBGMNConfig(ModelConfig):
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

    def forward(self, sources: Float[Tensor, "A d"], x: Nodes, received: Nodes) -> Nodes:
        """Transform all nodes for all sources.

        Args:
            sources: Their embeddings.
            x: The nodes', (n, d).
            received: What these receive under each source, (n, A, d).

        Returns:
            (n, A, D).
        """
        return Nodes(*(self._side(side, sources, x[side], received[side]) for side in range(2)))

    def _side(
        self,
        side: int,
        sources: Float[Tensor, "A d"],
        own: Float[Tensor, "n d"],
        received: Float[Tensor, "n A d"],
    ) -> Float[Tensor, "n A D"]:
        of_source, of_own, of_received = self.weight.chunk(3)
        inputs = received @ of_received + (own @ of_own)[:, None] + sources @ of_source
        meta = pad(leaky_relu(inputs + self.bias, SLOPE), (0, 1), value=1.0)
        first, second = (
            torch.cat([self.factor_weight[side, part], self.factor_bias[side, part][None]]).view(
                -1, *self._shapes[part]
            )
            for part in range(2)
        )
        # x U for all sources at once: what x makes of U's weights is the same for each of them.
        of_x = torch.einsum("nd,mdr->nmr", own, first)
        low = torch.bmm(meta, of_x)
        v = (meta @ second.flatten(1)).view(-1, *second.shape[1:])
        low_rank = torch.bmm(low.view(-1, 1, low.shape[2]), v).view(received.shape)
        return torch.cat([low_rank, own[:, None].expand_as(low_rank)], dim=2)


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
        ego = Nodes(self.user_embedding, self.item_embedding)
        received = propagate_all(graph, "symmetric").own(ego.map(lambda x: x[:, None, None]))
        received = received.map(lambda x: torch.cat([x.sum(2), x[:, 0]], dim=1))
        x = self.transforms(self.source_embedding, ego, received)
        total, n_layers = x, self.config.n_layers
        steps = steps_for(graph, "symmetric", n_layers, users)[:n_layers]
        for step, weights in zip(steps, self.attention_weight, strict=True):
            if step.users is not None:  # the last layer, of some users alone
                total = Nodes(look_up(total.users, step.users), total.items)
            x = self._layer(step, weights, x)
            total = Nodes(total.users + x.users, total.items + x.items)
        if users is not None and not n_layers:
            total = Nodes(look_up(total.users, users), total.items)
        return Representations(*total)

    def loss(self, representations: Representations, batch: Batch) -> Float[Tensor, "B"]:
        """Hinge of each behavior's pairs, scored from every source: summed over the sources."""
        compared, distinct = _compared(batch, len(representations.items))
        items = look_up(representations.items, distinct)
        return self.head.losses(compared, representations.users, items)

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

    def _layer(self, step: Propagation, weights: Float[Tensor, "2 D D"], x: Nodes) -> Nodes:
        """One layer of all sources, (n, A, D).

        A behavior's own source keeps what it was; the joint one's messages, from all behaviors,
        attend to each other.
        """
        n_behaviors = x.users.shape[1] - 1
        sent = x.map(
            lambda each: torch.stack([each[:, :1].expand(-1, n_behaviors, -1), each[:, 1:]], 1)
        )
        passed = step.own(sent).map(lambda each: leaky_relu(each, SLOPE))
        kept = x.users if step.users is None else look_up(x.users, step.users), x.items
        sides = []
        for messages, weight, before in zip(passed, weights, kept, strict=True):
            joint = attended_sum(messages[:, 0], weight, self.config.n_heads)
            sides.append(torch.cat([joint[:, None], messages[:, 1] + before[:, 1:]], dim=1))
        return Nodes(*sides)


def _compared(batch: Batch, n_items: int) -> tuple[Compared, Int[Tensor, "n"]]:
    """Return what a batch compares, each distinct pair once, and the items of those.

    Positives are drawn with replacement: about a third of them stand in a batch again.
    """
    n_users, n_behaviors = len(batch.users), len(batch.pairs)
    rows = torch.cat([each.rows for each in batch.pairs])
    counts = torch.tensor([len(each.rows) for each in batch.pairs], device=rows.device)
    behaviors = torch.repeat_interleave(counts)
    order = rows.argsort(stable=True)
    rows, behaviors = rows[order], behaviors[order]
    start = (rows * n_behaviors + behaviors) * n_items
    keys = torch.stack(
        [
            start + torch.cat(list(chosen))[order]
            for chosen in zip(
                *((each.positives, each.negatives) for each in batch.pairs), strict=True
            )
        ]
    )
    distinct, places = torch.unique(keys, return_inverse=True)
    owners = distinct // (n_behaviors * n_items)
    compared = Compared(
        targets=1 + distinct // n_items % n_behaviors,
        borders=_borders(owners, n_users),
        positives=places[0],
        negatives=places[1],
        behaviors=behaviors,
        pair_borders=_borders(rows, n_users),
        n_behaviors=n_behaviors,
    )
    return compared, distinct % n_items


def _borders(rows: Int[Tensor, "n"], n_users: int) -> list[int]:
    """Return where each user's part of ascending rows begins, and the end."""
    users = torch.arange(n_users + 1, device=rows.device)
    found: list[int] = torch.searchsorted(rows, users).tolist()
    return found
