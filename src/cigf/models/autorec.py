"""AutoRec, user-based: an autoencoder of users' rows with one hidden layer.

Sedhain et al., "AutoRec: Autoencoders Meet Collaborative Filtering", WWW 2015,
doi 10.1145/2740908.2742726. The paper's loss over observed ratings alone has a trivial optimum
where every observed entry is 1, so interactions need the other pairs too.
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Int
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from cigf.config import ModelConfig
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.gather_sum import gather_sum
from cigf.losses import whole_data_square
from cigf.models.base import EVERYONE, DotRecommender, Representations, Sections, Sizes
from cigf.nn.init import xavier_uniform
from cigf.shapes import Batch

Objective = Literal["square", "bpr"]


class AutoRecConfig(ModelConfig):
    """Hyperparameters of `AutoRec`."""

    hidden_size: PositiveInt = 500
    """Width of the hidden layer."""
    objective: Objective = "square"
    """square: weighted error of every user's whole row; bpr: pairs of items."""
    negative_weight: PositiveFloat = 0.1
    """Weight of a pair without interaction in "square", against 1."""


DEFAULTS: Sections = {
    "sampling": {"users_per_epoch": EVERYONE},
    "training": {"schedule": "constant"},
}
"""The authors' batch optimizers see everybody in every step; we visit everybody in an epoch."""


class AutoRec(DotRecommender):
    """Reconstructs rows: sigmoid(y V + m) W + b.

    Args:
        config: The hyperparameters.
        sizes: Numbers of users, items and behaviors.
        generator: Source of the initial weights.
    """

    def __init__(self, config: AutoRecConfig, sizes: Sizes, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        shape = (sizes.n_items, config.hidden_size)
        self.input_weight = nn.Parameter(xavier_uniform(shape, generator))
        self.hidden_bias = nn.Parameter(torch.zeros(config.hidden_size))
        self.output_weight = nn.Parameter(xavier_uniform(shape, generator))
        self.item_bias = nn.Parameter(torch.zeros(sizes.n_items))

    def encode(
        self, graph: BehaviorGraph, users: Int[Tensor, "u"] | None = None
    ) -> Representations:
        """Encode the users' rows of the target; a last place of ones carries the items' bias."""
        rows, columns = graph.to_users[-1], graph.to_items[-1]
        edges, transposed = (rows, columns) if users is None else (rows.select(users), None)
        sums = gather_sum(edges, transposed, self.input_weight)
        hidden = torch.sigmoid(sums + self.hidden_bias)
        x = torch.cat([hidden, torch.ones_like(hidden[:, :1])], dim=1)
        y = torch.cat([self.output_weight, self.item_bias[:, None]], dim=1)
        return Representations(x[:, None], y[:, None])

    def target_loss(self, representations: Representations, batch: Batch) -> Float[Tensor, ""]:
        """The objective's loss."""
        losses: dict[Objective, Callable[[Representations, Batch], Tensor]] = {
            "square": self._square,
            "bpr": super().target_loss,
        }
        return losses[self.config.objective](representations, batch)

    def _square(self, representations: Representations, batch: Batch) -> Tensor:
        """Weighted square error of the users' whole rows, per user."""
        pairs = batch.pairs[-1]
        x, y = representations.users[:, 0], representations.items[:, 0]
        weight = self.config.negative_weight
        ones = x.new_ones(x.shape[1])
        loss = whole_data_square(x, y, ones, pairs.rows, pairs.positives, weight)
        return loss / len(batch.users)

    def regularized(self) -> list[nn.Parameter]:
        """Both matrices of weights; no biases."""
        return [self.input_weight, self.output_weight]


def whole_rows(config: AutoRecConfig) -> Sections:
    """Options that the objective fixes: "square" needs a user's positives all, no negatives."""
    if config.objective == "bpr":
        return {}
    return {
        "sampling": {"unit": "users", "positives_per_user": 0, "negatives_per_positive": 0},
    }
