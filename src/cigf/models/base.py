"""What every model is: a module that encodes a graph, states its loss and hands out scorers.

Axes: U users, I items, B behaviors (or the model's own number of representations), D size.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import pad

from cigf.errors import ConfigError
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.gather_sum import Edges, gather_sum
from cigf.losses import bpr
from cigf.nn.heads import Head, Parts
from cigf.nn.products import short_dots
from cigf.ranking import ScoreFactors, Scorer
from cigf.shapes import Batch, Learns, Pairs

Sections = Mapping[str, Mapping[str, Any]]
"""Options of an experiment's sections: section -> option -> value."""

EMBEDDINGS: Mapping[str, Literal["users", "items"]] = {
    "user_embedding": "users",
    "item_embedding": "items",
}
"""`Recommender.node_tables` of most models."""

EVERYONE = 1_000_000_000
"""As sampling.users_per_epoch: more users than there are anywhere."""

Memory = Mapping[str, Tensor]
"""What a model keeps of its training graph for users to come: tensors by name."""


@dataclass(frozen=True)
class Sizes:
    """What a model must know of the data to be built."""

    n_users: int
    n_items: int
    n_behaviors: int


@dataclass(frozen=True)
class Representations:
    """Output of `encode`.

    Args:
        users: One row per requested user, shape (u, B, D).
        items: One row per item, shape (I, B, D); of another width where scores are no products.
        kept: What else the model's scorers need of the graph: tensors by name.
    """

    users: Float[Tensor, "u B D"]
    items: Float[Tensor, "I B _"]
    kept: Mapping[str, Tensor] = field(default_factory=dict)

    def to(self, device: torch.device | str) -> "Representations":
        """Return them on a device."""
        kept = {name: tensor.to(device) for name, tensor in self.kept.items()}
        return Representations(self.users.to(device), self.items.to(device), kept)

    def cpu(self) -> "Representations":
        """Return them on the CPU."""
        return self.to("cpu")


class Recommender(nn.Module, ABC):
    """Abstract model. `encode` has no side effects, and `loss` leaves no state behind.

    Dropout draws from torch's global generator, which the trainer seeds for every step.
    """

    learns: ClassVar[Learns] = "behaviors"
    """What the batches hold; a model that learns the target alone predicts the target alone."""

    in_kernels: bool = False
    """Whether compiled kernels, where there are any, do most of a training step: torch's own
    threads would then only stand in their way."""

    node_tables: ClassVar[Mapping[str, Literal["users", "items"]]] = {}
    """Parameters with a row per user or per item, where a model of fewer nodes is the same model
    with fewer rows; without any, it cannot be trained on sub-graphs."""

    loss_tables: ClassVar[tuple[str, ...] | None] = None
    """Which of the items' `node_tables` the loss reads, of a model whose nodes can be partitioned
    over ranks; None where they cannot be. They can where vectors move only along the graph's
    propagation or its `gather_sum`, and each behavior's loss is a mean over its pairs."""

    def forward(self, graph: BehaviorGraph, batch: Batch) -> Float[Tensor, "B"]:
        """Return the losses of a batch, encoding the graph for it: what a step minimizes.

        A model that has to hide from the graph what it learns from says otherwise.
        """
        return self.loss(self.encode(graph, batch.users), batch)

    @abstractmethod
    def encode(
        self, graph: BehaviorGraph, users: Int[Tensor, "u"] | None = None
    ) -> Representations:
        """Compute representations from the graph.

        Args:
            graph: All behaviors' training edges.
            users: Users whose rows are wanted, in that order; all when None.
        """

    def encode_read(
        self, graph: BehaviorGraph, users: Int[Tensor, "u"], items: Int[Tensor, "i"]
    ) -> tuple[Representations, Int[Tensor, "i"] | None]:
        """Compute what a step reads: some users, and at least some items, ascending.

        A model whose loss reads tables by itself (`loss_tables`) holds all items.

        Returns:
            The representations, and the items that they hold; None where they hold all.
        """
        return self.encode(graph, users), None

    @abstractmethod
    def loss(self, representations: Representations, batch: Batch) -> Float[Tensor, "B"]:
        """Return one loss per behavior; training minimizes their sum.

        Args:
            representations: Those of `batch.users`.
            batch: The sampled pairs.
        """

    @abstractmethod
    def scorer(self, representations: Representations, behavior: int) -> Scorer:
        """Return the scorer of one behavior's task for the represented users."""

    def remember(self, graph: BehaviorGraph) -> Memory:
        """Return what `fold_in` needs of the training graph; nothing where it is not supported."""
        return {}

    def fold_in(
        self, memory: Memory, events: Sequence[Edges], users: Int[Tensor, "u"]
    ) -> Float[Tensor, "u B D"]:
        """Represent users by what they did, known users or not, without training.

        The items' vectors are those of the training graph, so for a known user with her events of
        training this is her row of `encode`.

        Args:
            memory: What `remember` returned.
            events: Per behavior, the edges from items to these users; rows are the users.
            users: The row of each of them in the training graph, -1 for unknown ones.

        Raises:
            ConfigError: The model cannot do that.
        """
        raise ConfigError(
            f"{type(self).__name__} cannot represent users by events it was not trained on; "
            "train again on all events, or train a model that can, such as cigf"
        )

    def similar_items(self, item: int) -> Float[Tensor, "I"] | None:
        """Return how similar each item is to one, by a measure of the model's own.

        None, as for most models: the cosine of the representations is meant.

        Raises:
            ConfigError: The model knows no similarity.
        """
        return None

    def regularized(self) -> list[nn.Parameter]:
        """Parameters whose sum of squares the loss includes (times the trainer's `l2`)."""
        return []


class MultiTaskRecommender(Recommender):
    """A recommender whose head scores every behavior, trained by BPR on each.

    Args:
        head: From representations to scores.
    """

    head: Head

    def loss(self, representations: Representations, batch: Batch) -> Float[Tensor, "B"]:
        """BPR of each behavior over its sampled pairs (CIGF eq. 17 without the L2 term)."""
        users, items = representations.users, representations.items
        losses = self.head.bpr_losses(users, items, batch.pairs)
        return self._by_scores(users, items, batch.pairs) if losses is None else losses

    def _by_scores(
        self,
        users: Float[Tensor, "u B D"],
        items: Float[Tensor, "I B D"],
        pairs: Sequence[Pairs],
    ) -> Float[Tensor, "B"]:
        sizes = [len(each.rows) for each in pairs]
        rows = torch.cat([each.rows for each in pairs])
        chosen = [*(each.positives for each in pairs), *(each.negatives for each in pairs)]
        x = _look_up(self.head.user_parts(users), rows)
        parts = _look_up(self.head.item_parts(items), torch.cat(chosen))
        y = tuple(part.view(2, -1, *part.shape[1:]) for part in parts)
        scores = self.head.score_sets(x, y, sizes)
        return torch.stack([bpr(positive, negative) for positive, negative in scores])

    def scorer(self, representations: Representations, behavior: int) -> Scorer:
        """The head's scorer."""
        return self.head.scorer(representations.users, representations.items, behavior)


class TargetRecommender(Recommender):
    """A recommender that learns from the target's labels alone."""

    learns: ClassVar[Learns] = "target"

    @abstractmethod
    def target_loss(self, representations: Representations, batch: Batch) -> Float[Tensor, ""]:
        """Return the loss of the target's pairs, `batch.pairs[-1]`."""

    def loss(self, representations: Representations, batch: Batch) -> Float[Tensor, "B"]:
        """The target's loss in the target's place, zeros in the others."""
        return pad(self.target_loss(representations, batch)[None], (len(batch.pairs) - 1, 0))


class DotRecommender(TargetRecommender):
    """A recommender of the target whose score is the inner product of two vectors, by BPR."""

    def target_loss(self, representations: Representations, batch: Batch) -> Float[Tensor, ""]:
        """BPR over the target's pairs, plus `penalty`."""
        positive, negative = self.target_scores(representations, batch)
        return bpr(positive, negative) + self.penalty(representations, batch)

    def target_scores(self, representations: Representations, batch: Batch) -> Float[Tensor, "2 n"]:
        """Return the scores of the target's positives and of their negatives."""
        pairs = batch.pairs[-1]
        users, items = representations.users[:, 0], representations.items[:, 0]
        x = look_up(users, pairs.rows)
        y = look_up(items, torch.cat([pairs.positives, pairs.negatives])).view(2, *x.shape)
        return short_dots(x, y, x.shape[1])[:, :, 0]

    def penalty(self, representations: Representations, batch: Batch) -> Tensor | float:
        """Return what the loss adds for large vectors of the batch; nothing by default."""
        return 0.0

    def scorer(self, representations: Representations, behavior: int) -> Scorer:
        """Inner products: one matrix product for a block of users."""
        return ScoreFactors(representations.users, representations.items)


def look_up(vectors: Float[Tensor, "rows *width"], rows: Int[Tensor, "n"]) -> Tensor:
    """Return some rows, (n, *width); see `_look_up` for why not by indexing."""
    return _look_up((vectors,), rows)[0]


def _look_up(parts: Parts, rows: Int[Tensor, "n"]) -> Parts:
    """Look up rows of all parts.

    A look-up is a gather-sum over one edge per pair: its gradient is then a gather-sum too, which
    is several times faster than adding row by row.
    """
    chosen = rows.int()
    one_each = torch.arange(len(chosen) + 1, dtype=chosen.dtype, device=chosen.device)
    edges = Edges(one_each, chosen, len(parts[0]))
    transposed = edges.transpose()
    return tuple(
        gather_sum(edges, transposed, part.flatten(1)).view(-1, *part.shape[1:]) for part in parts
    )
