"""DIPN, adapted to ranking: sequences of each behavior, attention within and between them.

Guo et al., "Buying or Browsing? Predicting Real-time Purchasing Intent using Attention-based Deep
Network with Multiple Behavior", KDD 2019, pages 1984-1992, predicts whether a session ends in a
purchase, from touches and visits; it has no public code and ranks no items. Comparisons of
recommenders that name it do not say what they ran. This is our adaptation, not the authors' model:
its encoder of a user stays, and inner products with items take the place of the intent.

Axes: u users, I items, B behaviors, D embedding size.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.functional import relu

from cigf.config import ModelConfig
from cigf.data.dataset import Dataset
from cigf.errors import ConfigError
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.gather_sum import Edges
from cigf.losses import bpr
from cigf.models.base import Memory, Recommender, Representations, Sections, Sizes, look_up
from cigf.models.event_encoders import (
    Attention,
    EncoderName,
    EventsEncoder,
    SequenceEncoder,
    SetEncoder,
)
from cigf.models.several import check_several
from cigf.nn.init import xavier_uniform
from cigf.nn.products import short_dots
from cigf.ranking import ScoreFactors, Scorer
from cigf.shapes import Batch

DEFAULTS: Sections = {"training": {"l2": 0.0}}
"""The original's settings for ranking do not exist."""


class DIPNConfig(ModelConfig):
    """Hyperparameters of `DIPN`."""

    embedding_size: PositiveInt = 64
    """Dimension D of an embedding and of the GRUs."""
    encoder: EncoderName = "gru"
    """gru: a user's events in the order of their times, as in the paper; set: without any order,
    for logs without times."""
    sequence_length: PositiveInt = 50
    """Most events of a behavior that a GRU reads, the last ones."""


def check(config: DIPNConfig, dataset: Dataset) -> None:
    """Refuse a single behavior, and sequences without times.

    Raises:
        ConfigError: It is such a dataset.
    """
    check_several(config, dataset)
    timeless = [
        name for name, times in zip(dataset.behaviors, dataset.times, strict=True) if times is None
    ]
    if config.encoder == "gru" and timeless:
        raise ConfigError(
            f"model.encoder: gru reads events in the order of time, and {', '.join(timeless)} "
            "has no times here; prepare the data with times, or set model.encoder=set"
        )


class DIPN(Recommender):
    """score_k = t_k z_i, where t_k is task k's reading of what the user did.

        r_k = attention's mean of GRU_k(z of the items of behavior k)
        g = attention's mean of r_1, ..., r_B;  0 without events
        t_k = g + ReLU(g C_k + c_k)

    Args:
        config: The hyperparameters.
        sizes: Numbers of users, items and behaviors.
        generator: Source of the initial weights.
    """

    def __init__(self, config: DIPNConfig, sizes: Sizes, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        size, n_behaviors = config.embedding_size, sizes.n_behaviors
        self.item_embedding = nn.Parameter(xavier_uniform((sizes.n_items, size), generator))
        self.encoders = nn.ModuleList(self._encoder(generator) for _ in range(n_behaviors))
        self.attention = Attention(size, generator)
        self.task_weight = nn.Parameter(xavier_uniform((n_behaviors, size, size), generator))
        self.task_bias = nn.Parameter(torch.zeros(n_behaviors, size))

    def _encoder(self, generator: torch.Generator) -> EventsEncoder:
        size = self.config.embedding_size
        if self.config.encoder == "set":
            return SetEncoder(size, generator)
        return SequenceEncoder(size, generator, self.config.sequence_length)

    def encode(
        self, graph: BehaviorGraph, users: Int[Tensor, "u"] | None = None
    ) -> Representations:
        """Encode the users' events."""
        ordered = self.config.encoder == "gru"
        events = graph.sequences if ordered else graph.to_users
        assert events is not None  # `check` asked for times
        if users is None:
            x = self._users(events, None if ordered else graph.to_items)
        else:
            x = self._users([edges.select(users) for edges in events])
        items = self.item_embedding[:, None].expand(-1, x.shape[1], -1)
        return Representations(x, items)

    def loss(self, representations: Representations, batch: Batch) -> Float[Tensor, "B"]:
        """BPR of each behavior."""
        losses = []
        for task, pairs in enumerate(batch.pairs):
            x = look_up(representations.users[:, task], pairs.rows)
            chosen = torch.cat([pairs.positives, pairs.negatives])
            y = look_up(representations.items[:, 0], chosen).view(2, *x.shape)
            positive, negative = short_dots(x, y, x.shape[1])[:, :, 0]
            losses.append(bpr(positive, negative))
        return torch.stack(losses)

    def scorer(self, representations: Representations, behavior: int) -> Scorer:
        """One matrix product for a block of users."""
        task = slice(behavior, behavior + 1)
        return ScoreFactors(representations.users[:, task], representations.items[:, task])

    def remember(self, graph: BehaviorGraph) -> Memory:
        """Nothing but the sizes; nothing for a GRU, as later events come without times."""
        if self.config.encoder == "gru":
            return {}
        return {"sizes": torch.tensor([graph.n_users, graph.n_items, graph.n_behaviors])}

    def fold_in(
        self, memory: Memory, events: Sequence[Edges], users: Int[Tensor, "u"]
    ) -> Float[Tensor, "u B D"]:
        """Encode what users did."""
        if not memory:
            return super().fold_in(memory, events, users)
        return self._users(events)

    def regularized(self) -> list[nn.Parameter]:
        """The items' embeddings."""
        return [self.item_embedding]

    def _users(
        self, events: Sequence[Edges], transposed: Sequence[Edges] | None = None
    ) -> Float[Tensor, "u B D"]:
        back: Sequence[Edges | None] = transposed or [None] * len(events)
        read = [
            encoder(self.item_embedding, edges, by_item)
            for encoder, edges, by_item in zip(self.encoders, events, back, strict=True)
        ]
        r = torch.stack(read, dim=1)
        there = torch.stack([edges.degrees > 0 for edges in events], dim=1)
        known = there.any(1, keepdim=True)
        logits = self.attention(r).masked_fill(~there, -torch.inf).masked_fill(~known, 0.0)
        g = torch.einsum("ub,ubd->ud", logits.softmax(1), r)
        tasks = torch.einsum("ud,kde->uke", g, self.task_weight) + self.task_bias
        return g[:, None] + relu(tasks)
