"""MATN: Memory-Augmented Transformer Network (Xia et al., SIGIR 2020, pages 2397-2406).

"Multiplex Behavioral Relation Learning for Recommendation via Memory Augmented Transformer
Network". A user is what she did: one bag of items for each behavior; the bags attend to each other,
pass through a matrix that a memory composes for each of them, and are mixed. Only the target's
labels are learned from.

Axes: u users, I items, B behaviors (of the query, then of the key), H heads, S memory slots, D
embedding size.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from pydantic import PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn.functional import relu

from cigf.config import ModelConfig
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.gather_sum import Edges, gather_sum
from cigf.losses import hinge
from cigf.models.base import DotRecommender, Memory, Representations, Sections, Sizes
from cigf.nn.init import xavier_uniform
from cigf.shapes import Batch

SHARPNESS = 2.0
"""Factor of the attention's logits and of the behaviors', in place of 1 / sqrt(D / H)."""

DEFAULTS: Sections = {
    "sampling": {"batch_size": 32},
    "training": {"epochs": 120, "learning_rate": 2e-4, "decay_steps": 312},
}
"""The authors' setting: stairs of an epoch, 40 pairs of each of 10,000 users."""


class MATNConfig(ModelConfig):
    """Hyperparameters of `MATN`; the defaults are the published program's."""

    embedding_size: PositiveInt = 8
    """Dimension D of an embedding."""
    n_heads: PositiveInt = 2
    """Heads H of the attention between behaviors; they divide D."""
    memory_size: PositiveInt = 4
    """Memory slots, each a D x D matrix."""

    @model_validator(mode="after")
    def _heads_fit(self) -> "MATNConfig":
        if self.embedding_size % self.n_heads:
            raise ValueError("n_heads must divide embedding_size")
        return self


class MATN(DotRecommender):
    """score = g W_i, where g mixes what a memory makes of the user's bags.

        c_k = sum of v_j over the items j of behavior k,   r_k = attention_k(c_1, ..., c_B) + 2 c_k
        e_k = r_k sum_s ReLU(r_k U_k + u_k)_s T_s,         g = sum_k softmax_k(2 w) e_k
        g <- g + ReLU(g F_1 + f_1),  g <- g + ReLU(g F_2 + f_2)

    Args:
        config: The hyperparameters.
        sizes: Numbers of users, items and behaviors.
        generator: Source of the initial weights.
    """

    def __init__(self, config: MATNConfig, sizes: Sizes, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        size, n_slots, n_behaviors = config.embedding_size, config.memory_size, sizes.n_behaviors

        def weight(*shape: int) -> nn.Parameter:
            return nn.Parameter(xavier_uniform(shape, generator))

        def bias(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(*shape))

        self.input_embedding = weight(sizes.n_items, size)
        self.output_embedding = weight(sizes.n_items, size)
        # Query, key and value, each with weights for every behavior that asks.
        self.attention_weight = weight(3, n_behaviors, size, size)
        self.attention_bias = bias(3, n_behaviors, size)
        self.address_weight = weight(n_behaviors, size, n_slots)
        self.address_bias = bias(n_behaviors, n_slots)
        self.memory = weight(n_slots, size, size)
        self.behavior_logit = bias(n_behaviors)
        self.deep_weight = weight(2, size, size)
        self.deep_bias = bias(2, size)

    def encode(
        self, graph: BehaviorGraph, users: Int[Tensor, "u"] | None = None
    ) -> Representations:
        """Encode the users' bags."""
        if users is None:
            x = self._users(graph.to_users, graph.to_items)
        else:
            x = self._users([edges.select(users) for edges in graph.to_users])
        return Representations(x[:, None], self.output_embedding[:, None])

    def target_loss(self, representations: Representations, batch: Batch) -> Float[Tensor, ""]:
        """Hinge over the target's pairs, summed over each user's: mean over users."""
        positive, negative = self.target_scores(representations, batch)
        return hinge(positive, negative) * (len(positive) / max(1, len(batch.users)))

    def remember(self, graph: BehaviorGraph) -> Memory:
        """Nothing but the sizes: a user's vector needs the items' embeddings alone."""
        return {"sizes": torch.tensor([graph.n_users, graph.n_items, graph.n_behaviors])}

    def fold_in(
        self, memory: Memory, events: Sequence[Edges], users: Int[Tensor, "u"]
    ) -> Float[Tensor, "u 1 D"]:
        """Encode what users did."""
        return self._users(events)[:, None]

    def regularized(self) -> list[nn.Parameter]:
        """All weights, no biases."""
        return [p for name, p in self.named_parameters() if not name.endswith("bias")]

    def _users(
        self, to_users: Sequence[Edges], to_items: Sequence[Edges] | None = None
    ) -> Float[Tensor, "u D"]:
        back: Sequence[Edges | None] = to_items or [None] * len(to_users)
        bags = [
            gather_sum(edges, transposed, self.input_embedding)
            for edges, transposed in zip(to_users, back, strict=True)
        ]
        c = torch.stack(bags, dim=1)
        mixed = self._recall(self._attend(c) + 2.0 * c)
        weights = (SHARPNESS * self.behavior_logit).softmax(0)
        g = torch.einsum("ubd,b->ud", mixed, weights)
        for weight, bias in zip(self.deep_weight, self.deep_bias, strict=True):
            g = g + relu(g @ weight + bias)
        return g

    def _attend(self, c: Float[Tensor, "u B D"]) -> Float[Tensor, "u B D"]:
        """Let every behavior look at all of them, with weights of its own."""
        queries, keys, values = self.attention_weight
        query_bias, key_bias, value_bias = self.attention_bias
        q = torch.einsum("ukd,kde->uke", c, queries) + query_bias
        key = torch.einsum("ujd,kde->ukje", c, keys) + key_bias[:, None]
        value = torch.einsum("ujd,kde->ukje", c, values) + value_bias[:, None]
        heads = (self.config.n_heads, -1)
        logits = torch.einsum("ukhe,ukjhe->ukjh", q.unflatten(-1, heads), key.unflatten(-1, heads))
        weights = (SHARPNESS * logits).softmax(2)
        return torch.einsum("ukjh,ukjhe->ukhe", weights, value.unflatten(-1, heads)).flatten(2)

    def _recall(self, r: Float[Tensor, "u B D"]) -> Float[Tensor, "u B D"]:
        """Multiply each by the sum of the slots that it addresses, slot by slot."""
        address = relu(torch.einsum("ukd,kds->uks", r, self.address_weight) + self.address_bias)
        through = torch.einsum("ukd,sde->ukse", r, self.memory)
        return torch.einsum("uks,ukse->uke", address, through)
