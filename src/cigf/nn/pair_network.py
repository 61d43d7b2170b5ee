"""A small network that scores pairs by their features.

Axes: m pairs, F features.
"""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import relu


class PairNetwork(nn.Module):
    """Two hidden layers with ReLU, one output.

    Args:
        n_features: F, of mean 0 and deviation 1.
        hidden_size: Width of both hidden layers.
        generator: Source of the initial weights.
        offset: Whether the output has a bias; it has none where only differences count.
    """

    def __init__(
        self,
        n_features: int,
        hidden_size: int,
        generator: torch.Generator,
        *,
        offset: bool = True,
    ) -> None:
        super().__init__()
        sizes = [n_features, hidden_size, hidden_size, 1]
        hidden = [nn.Linear(*pair) for pair in pairwise(sizes[:-1])]
        layers = [*hidden, nn.Linear(hidden_size, 1, bias=offset)]
        with torch.no_grad():
            for layer in layers:
                deviation = float(layer.in_features) ** -0.5
                layer.weight.normal_(0.0, deviation, generator=generator)
                if layer.bias is not None:
                    layer.bias.zero_()
        self.layers = nn.ModuleList(layers)

    def forward(self, features: Float[Tensor, "m F"]) -> Float[Tensor, "m"]:
        """Return one score per pair."""
        first, second, last = self.layers
        out: Tensor = last(relu(second(relu(first(features)))))
        return out[:, 0]
