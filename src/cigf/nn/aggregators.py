"""The four aggregators of CIGCN: what a layer reads out of the propagated chains.

They act on the read-out only; the chain that is propagated further stays linear
(CIGF section 4.2.3). Axes: n nodes, D embedding size, any axes between.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cigf.nn.attention import SLOPE
from cigf.nn.init import normal

AggregatorName = Literal["lightgcn", "lr-gccf", "gcn", "ngcf"]

_INITIAL_DEVIATION = 0.01


class Aggregator(nn.Module, ABC):
    """Maps propagated vectors h and ego embeddings x to a layer's output."""

    linear: ClassVar[bool] = False
    """Whether a sum over chains may be taken before the aggregator instead of after it."""

    @abstractmethod
    def forward(
        self, h: Float[Tensor, "n C B D"], ego: Float[Tensor, "n 1 1 D"], layer: int
    ) -> Float[Tensor, "n C B D"]:
        """Return the read-out of layer 1, 2, ..."""


class LightGCNAggregator(Aggregator):
    """The propagated vector as it is."""

    linear = True

    def forward(
        self, h: Float[Tensor, "n C B D"], ego: Float[Tensor, "n 1 1 D"], layer: int
    ) -> Float[Tensor, "n C B D"]:
        """Return h."""
        return h


class LRGCCFAggregator(Aggregator):
    """LeakyReLU(h)."""

    def forward(
        self, h: Float[Tensor, "n C B D"], ego: Float[Tensor, "n 1 1 D"], layer: int
    ) -> Float[Tensor, "n C B D"]:
        """Return LeakyReLU(h)."""
        return nn.functional.leaky_relu(h, SLOPE)


class _PerLayer(nn.Module):
    """LeakyReLU(h W + b) with a W and b for each layer, shared by the behaviors."""

    def __init__(self, n_layers: int, embedding_size: int, generator: torch.Generator) -> None:
        super().__init__()
        shape = (n_layers, embedding_size, embedding_size)
        self.weight = nn.Parameter(normal(shape, _INITIAL_DEVIATION, generator))
        self.bias = nn.Parameter(torch.zeros(n_layers, embedding_size))

    def forward(self, h: Tensor, layer: int) -> Tensor:
        """Transform with the weights of layer 1, 2, ..."""
        linear = h @ self.weight[layer - 1] + self.bias[layer - 1]
        return nn.functional.leaky_relu(linear, SLOPE)


class GCNAggregator(Aggregator):
    """LeakyReLU(h W + b)."""

    def __init__(self, n_layers: int, embedding_size: int, generator: torch.Generator) -> None:
        super().__init__()
        self.transform = _PerLayer(n_layers, embedding_size, generator)

    def forward(
        self, h: Float[Tensor, "n C B D"], ego: Float[Tensor, "n 1 1 D"], layer: int
    ) -> Float[Tensor, "n C B D"]:
        """Return LeakyReLU(h W + b)."""
        out: Tensor = self.transform(h, layer)
        return out


class NGCFAggregator(Aggregator):
    """g + LeakyReLU((x o g) W' + b') with g = LeakyReLU(h W + b)."""

    def __init__(self, n_layers: int, embedding_size: int, generator: torch.Generator) -> None:
        super().__init__()
        self.transform = _PerLayer(n_layers, embedding_size, generator)
        self.affinity = _PerLayer(n_layers, embedding_size, generator)

    def forward(
        self, h: Float[Tensor, "n C B D"], ego: Float[Tensor, "n 1 1 D"], layer: int
    ) -> Float[Tensor, "n C B D"]:
        """Return the transformed vector plus its affinity with the ego embedding."""
        g: Tensor = self.transform(h, layer)
        affinity: Tensor = self.affinity(ego * g, layer)
        return g + affinity


def build_aggregator(
    name: AggregatorName, n_layers: int, embedding_size: int, generator: torch.Generator
) -> Aggregator:
    """Build an aggregator by its name in the paper."""
    builders: dict[AggregatorName, Callable[[], Aggregator]] = {
        "lightgcn": LightGCNAggregator,
        "lr-gccf": LRGCCFAggregator,
        "gcn": lambda: GCNAggregator(n_layers, embedding_size, generator),
        "ngcf": lambda: NGCFAggregator(n_layers, embedding_size, generator),
    }
    return builders[name]()
