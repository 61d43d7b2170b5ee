"""Node-wise attention of CIGCN: how much each behavior's graph counts for a node and chain.

Axes: n nodes, H heads, B behaviors (chain, then graph), D embedding size.
The five variants of the CIGF paper's table 4 are two classes and two switches.
"""

from abc import ABC, abstractmethod
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cigf.nn.init import xavier_uniform

AttentionVariant = Literal["global", "node", "node+layer", "node+behavior", "node+behavior+layer"]

SLOPE = 0.1
"""Negative slope of LeakyReLU throughout CIGF: max(0.1 z, z) in the published program."""


class BehaviorAttention(nn.Module, ABC):
    """Weights of the graphs by node, chain and layer.

    Args:
        n_behaviors: B.
    """

    weight: nn.Parameter
    """What the L2 term of eq. 17 is about; biases are not."""

    def __init__(self, n_behaviors: int) -> None:
        super().__init__()
        self.n_behaviors = n_behaviors

    @abstractmethod
    def forward(self, ego: Float[Tensor, "n D"], layer: int) -> Float[Tensor, "n H B B"]:
        """Return the weight of each graph (last axis) for each chain, for layer 2, 3, ..."""


class NodeAttention(BehaviorAttention):
    """a = LeakyReLU(x W + b), with W and b shared by users and items (CIGF eq. 9).

    Args:
        n_behaviors: B.
        embedding_size: D.
        n_layers: Number of propagation layers; layer 1 needs no attention.
        n_heads: H.
        per_behavior: Own W and b for each chain, else one for all.
        per_layer: Own W and b for each layer, else one for all.
        generator: Source of the initial weights.
    """

    def __init__(
        self,
        n_behaviors: int,
        embedding_size: int,
        n_layers: int,
        n_heads: int,
        *,
        per_behavior: bool,
        per_layer: bool,
        generator: torch.Generator,
    ) -> None:
        super().__init__(n_behaviors)
        chains = n_behaviors if per_behavior else 1
        layers = max(n_layers - 1, 1) if per_layer else 1
        shape = (layers, n_heads, chains, embedding_size, n_behaviors)
        self.weight = nn.Parameter(xavier_uniform(shape, generator))
        self.bias = nn.Parameter(torch.zeros(layers, n_heads, chains, n_behaviors))

    def forward(self, ego: Float[Tensor, "n D"], layer: int) -> Float[Tensor, "n H B B"]:
        """Return the weights for one layer; all heads and chains in one matrix product."""
        place = min(layer - 2, len(self.weight) - 1)
        weight, bias = self.weight[place], self.bias[place]
        # As (outputs, inputs): the gradient of many short rows is then the quicker product.
        flat = weight.transpose(2, 3).reshape(-1, weight.shape[2])
        logits = nn.functional.linear(ego, flat, bias.flatten()).view(len(ego), *bias.shape)
        weights = nn.functional.leaky_relu(logits, SLOPE)
        return weights.expand(-1, -1, self.n_behaviors, -1)


class GlobalAttention(BehaviorAttention):
    """One learned weight per graph, the same for all nodes, chains and layers.

    It begins at 1 / B for every graph: the plain mean.

    Args:
        n_behaviors: B.
        n_heads: H.
    """

    def __init__(self, n_behaviors: int, n_heads: int) -> None:
        super().__init__(n_behaviors)
        self.weight = nn.Parameter(torch.full((n_heads, n_behaviors), 1.0 / n_behaviors))

    def forward(self, ego: Float[Tensor, "n D"], layer: int) -> Float[Tensor, "n H B B"]:
        """Return the same weights for every node."""
        weights = nn.functional.leaky_relu(self.weight, SLOPE)
        n_heads = len(self.weight)
        return weights[None, :, None, :].expand(
            len(ego), n_heads, self.n_behaviors, self.n_behaviors
        )


def build_attention(
    variant: AttentionVariant,
    n_behaviors: int,
    embedding_size: int,
    n_layers: int,
    n_heads: int,
    generator: torch.Generator,
) -> BehaviorAttention:
    """Build one of the five variants of table 4 by its name."""
    if variant == "global":
        return GlobalAttention(n_behaviors, n_heads)
    parts = variant.split("+")
    return NodeAttention(
        n_behaviors,
        embedding_size,
        n_layers,
        n_heads,
        per_behavior="behavior" in parts,
        per_layer="layer" in parts,
        generator=generator,
    )
