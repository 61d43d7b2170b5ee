"""DMF: two towers over a user's row and an item's column of the interactions, and their cosine.

Xue et al., "Deep Matrix Factorization Models for Recommender Systems", IJCAI 2017,
doi 10.24963/ijcai.2017/447.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn.functional import normalize, relu

from cigf.config import ModelConfig
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.gather_sum import Edges, gather_sum
from cigf.models.base import DotRecommender, Representations, Sections, Sizes, look_up
from cigf.nn.init import truncated_normal
from cigf.nn.products import short_dots
from cigf.shapes import Batch

FLOOR = 1e-6
"""Predictions stay so far from 0 and from 1, where the logarithm ends."""


class DMFConfig(ModelConfig):
    """Hyperparameters of `DMF`; the defaults are those of the paper's public implementation."""

    user_layers: tuple[PositiveInt, ...] = Field(default=(512, 64), min_length=1)
    """Widths of the users' tower; the first layer is linear."""
    item_layers: tuple[PositiveInt, ...] = Field(default=(1024, 64), min_length=1)
    """Widths of the items' tower; the last must be that of the users."""
    initial_deviation: PositiveFloat = 0.01
    """Standard deviation of the truncated normal that weights begin with."""

    @model_validator(mode="after")
    def _same_size(self) -> "DMFConfig":
        if self.user_layers[-1] != self.item_layers[-1]:
            raise ValueError("user_layers and item_layers must end with the same width")
        return self


DEFAULTS: Sections = {
    "sampling": {"unit": "interactions", "batch_size": 32, "negatives_per_positive": 7},
    "training": {"learning_rate": 1e-4, "schedule": "constant"},
}
"""Batches of 256 pairs, of which one in eight is positive."""


class Tower(nn.Module):
    """h_1 = y W_1 for binary rows y, then h_l = ReLU(h_(l-1) W_l + b_l).

    y W_1 is the sum of the rows of W_1 where y has ones, so dense rows are never built.

    Args:
        n_inputs: Length of a row y.
        widths: Width of each layer.
        deviation: Of the initial weights.
        generator: Source of the initial weights.
    """

    def __init__(
        self, n_inputs: int, widths: Sequence[int], deviation: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        sizes = list(zip((n_inputs, *widths), widths, strict=False))
        self.weights = nn.ParameterList(
            truncated_normal(size, deviation, generator) for size in sizes
        )
        self.biases = nn.ParameterList(
            truncated_normal((width,), deviation, generator) for width in widths[1:]
        )

    def forward(self, edges: Edges, transposed: Edges | None) -> Float[Tensor, "rows D"]:
        """Embed the rows of the edges; `transposed` as in `gather_sum`."""
        first, *others = self.weights
        h = gather_sum(edges, transposed, first)
        for weight, bias in zip(others, self.biases, strict=True):
            h = relu(h @ weight + bias)
        return h


class DMF(DotRecommender):
    """The cosine of two towers' outputs, by cross-entropy.

    Args:
        config: The hyperparameters.
        sizes: Numbers of users, items and behaviors.
        generator: Source of the initial weights.
    """

    def __init__(self, config: DMFConfig, sizes: Sizes, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        deviation = config.initial_deviation
        self.user_tower = Tower(sizes.n_items, config.user_layers, deviation, generator)
        self.item_tower = Tower(sizes.n_users, config.item_layers, deviation, generator)

    def encode(
        self, graph: BehaviorGraph, users: Int[Tensor, "u"] | None = None
    ) -> Representations:
        """Embed rows and columns of the target, and scale each vector to length 1.

        A vector of zeros stays one, so that its cosine with anything is 0 and not undefined.
        """
        rows, columns = graph.to_users[-1], graph.to_items[-1]
        x = self.user_tower(*((rows, columns) if users is None else (rows.select(users), None)))
        y = self.item_tower(columns, rows)
        return Representations(normalize(x)[:, None], normalize(y)[:, None])

    def target_loss(self, representations: Representations, batch: Batch) -> Float[Tensor, ""]:
        """Cross-entropy of the clipped cosines: mean over all positives and negatives."""
        pairs, repeated = batch.pairs[-1], batch.negatives_per_positive
        users, items = representations.users[:, 0], representations.items[:, 0]
        x = look_up(users, pairs.rows)
        y = look_up(items, torch.cat([pairs.positives, pairs.negatives])).view(2, *x.shape)
        positive, negative = short_dots(x, y, x.shape[1])[:, :, 0].clamp(FLOOR, 1.0 - FLOOR)
        # A positive stands once for each of its negatives, but counts once.
        total = -positive.log().sum() / repeated - torch.log1p(-negative).sum()
        n_instances = len(positive) * (1.0 + 1.0 / repeated)
        return torch.div(total, max(1.0, n_instances))
