"""NMTR: Neural Multi-Task Recommendation (Gao et al., ICDE 2019, pages 1554-1557).

Long version: "Learning to Recommend with Multiple Cascading Behaviors", TKDE 2019,
arXiv:1809.08161. One embedding per node and one unit per behavior, in the order of the funnel:
a behavior's prediction builds on that of the behavior before it.

Axes: U users, u of them wanted, I items, B behaviors, D embedding size.
"""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, pad

from cigf.config import ModelConfig
from cigf.data.dataset import Dataset
from cigf.graph.bipartite import BehaviorGraph
from cigf.models.base import EMBEDDINGS, Recommender, Representations, Sections, Sizes, look_up
from cigf.models.several import check_several, check_shares, shares
from cigf.nn.init import truncated_normal
from cigf.nn.units import UNITS, UnitName
from cigf.ranking import Scorer
from cigf.shapes import Batch, Learns

CascadeName = Literal["sum", "average"]
"""o_k = f_k + o_(k-1) + b_k, the paper's; or o_k = (f_k + o_(k-1)) / 2 + b with one bias for all
behaviors, the program's."""

SHARES: dict[CascadeName, float] = {"sum": 1.0, "average": 0.5}
"""What a behavior keeps of its own output and of the behavior before it."""

DEFAULTS: Sections = {
    "sampling": {"unit": "interactions", "batch_size": 2048, "negatives_per_positive": 4},
    "training": {
        "epochs": 30,
        "optimizer": "adagrad",
        "learning_rate": 0.01,
        "schedule": "constant",
        "l2": 0.0,
    },
}
"""The authors' setting: every pair of the union once, with four negatives."""


class NMTRConfig(ModelConfig):
    """Hyperparameters of `NMTR`; sizes are the published program's, the equations the paper's."""

    embedding_size: PositiveInt = 64
    """Dimension D of an embedding, and of a unit's hidden layer."""
    unit: UnitName = "gmf"
    """What predicts a behavior: linear GMF (the paper's), GMF with a hidden layer (the program's),
    MLP or NeuMF."""
    cascade: CascadeName = "sum"
    """How a prediction builds on the one before: their sum with a bias per behavior (the paper's)
    or their average with one bias for all (the program's)."""
    loss_weights: tuple[NonNegativeFloat, ...] = ()
    """Weight of each behavior in the loss, divided by their sum; none stands for equal ones."""


def check(config: NMTRConfig, dataset: Dataset) -> None:
    """Refuse a single behavior, and loss weights for another number of behaviors."""
    check_several(config, dataset)
    check_shares("loss_weights", config.loss_weights, dataset)


class NMTR(Recommender):
    """Cascaded units on shared embeddings, with a logistic loss for every behavior.

    Args:
        config: The hyperparameters.
        sizes: Numbers of users, items and behaviors.
        generator: Source of the initial weights.
    """

    learns: ClassVar[Learns] = "union"
    node_tables = {**EMBEDDINGS, "item_bias": "items"}  # noqa: RUF012  # as in the base class

    def __init__(self, config: NMTRConfig, sizes: Sizes, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        size, n_behaviors = config.embedding_size, sizes.n_behaviors
        self.user_embedding = nn.Parameter(truncated_normal((sizes.n_users, size), 0.01, generator))
        self.item_embedding = nn.Parameter(truncated_normal((sizes.n_items, size), 0.01, generator))
        self.unit = UNITS[config.unit](n_behaviors, size, generator)
        n_biases = n_behaviors if config.cascade == "sum" else 1
        self.item_bias = nn.Parameter(torch.zeros(sizes.n_items, n_biases))

    def encode(
        self, graph: BehaviorGraph, users: Int[Tensor, "u"] | None = None
    ) -> Representations:
        """Return the embeddings: the graph is not used."""
        x = self.user_embedding if users is None else self.user_embedding[users]
        return Representations(x[:, None], self.item_embedding[:, None])

    def loss(self, representations: Representations, batch: Batch) -> Float[Tensor, "B"]:
        """Mean logistic loss over the union's pairs and their negatives, weighted by behavior."""
        (pairs,), labels = batch.pairs, batch.labels
        assert labels is not None  # as `learns` asks
        # A positive stands once for each of its negatives, and is scored once.
        once = slice(None, None, batch.negatives_per_positive)
        positives, labels = pairs.positives[once], labels[once]
        users = torch.cat([pairs.rows[once], pairs.rows[: len(pairs.negatives)]])
        x = look_up(self.unit.user_part(representations.users[:, 0]), users)
        nodes = torch.cat([self.unit.item_part(representations.items[:, 0]), self._biases()], 1)
        y = look_up(nodes, torch.cat([positives, pairs.negatives]))
        n_behaviors = labels.shape[1]
        outputs = self.unit.combine(x, y[:, :-n_behaviors]) @ self._cascade()[0].t()
        logits = outputs + y[:, -n_behaviors:]
        wanted = pad(labels, (0, 0, 0, len(pairs.negatives)))
        losses = binary_cross_entropy_with_logits(logits, wanted, reduction="none").sum(0)
        return shares(self.config.loss_weights, n_behaviors).to(losses) * losses / max(1, len(y))

    def scorer(self, representations: Representations, behavior: int) -> Scorer:
        """One matrix product for linear GMF; the other units score in chunks."""
        return self.unit.scorer(
            representations.users[:, 0],
            representations.items[:, 0],
            self._cascade()[0][behavior],
            self._biases()[:, behavior],
        )

    def _cascade(self) -> tuple[Float[Tensor, "B B"], Float[Tensor, "B B"]]:
        """Return the weights of f_j and of b_j in o_k, which is linear in both."""
        n_behaviors = len(self.unit.output)
        share = SHARES[self.config.cascade]
        steps = torch.arange(n_behaviors, device=self.item_bias.device)
        biases = (share ** (steps[:, None] - steps).clamp(min=0)).tril()
        # All outputs but the first are shared with the one before already where they enter.
        outputs = biases * torch.where(steps == 0, 1.0, share)
        return outputs, biases

    def _biases(self) -> Float[Tensor, "I B"]:
        """Return what the items' biases add to o_k."""
        n_behaviors = len(self.unit.output)
        return self.item_bias.expand(-1, n_behaviors) @ self._cascade()[1].t()
