"""A model of which a rank holds its own nodes' rows.

Axes: U users and I items of this rank, u users of a batch, B behaviors, D embedding size, n pairs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call

from cigf.distributed.collectives import gather_rows, share_weights, sum_losses
from cigf.distributed.exchange import Ranks
from cigf.distributed.graph import RankGraph
from cigf.distributed.partition import Partition, Rows, local_rows
from cigf.distributed.selection import padded
from cigf.errors import ConfigError
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.needed import items_of, renumbered
from cigf.models.base import Memory, Recommender, Representations
from cigf.ranking import Scorer
from cigf.shapes import Batch, Pairs


@dataclass(frozen=True)
class Share:
    """A rank's part of a batch.

    Args:
        batch: Its own users, as its rows, with their pairs, whose items are rows of the table of
            all ranks' items.
        weights: Of its loss in the whole batch's, by behavior.
    """

    batch: Batch
    weights: Float[Tensor, "B"]


def share_of(batch: Batch, partition: Partition, rank: int) -> Share:
    """Take a rank's part out of a batch that all ranks have drawn alike."""
    rows = local_rows(partition.users, rank, batch.users)
    mine = rows >= 0
    position = torch.cumsum(mine, 0) - 1
    places = torch.from_numpy(partition.items.places).to(batch.users.device)

    def share(pairs: Pairs) -> Pairs:
        kept = mine[pairs.rows]
        negatives = pairs.negatives if not len(pairs.negatives) else pairs.negatives[kept]
        return Pairs(position[pairs.rows[kept]], places[pairs.positives[kept]], places[negatives])

    pairs = tuple(share(each) for each in batch.pairs)
    weights = [
        len(part.rows) / max(1, len(whole.rows))
        for part, whole in zip(pairs, batch.pairs, strict=True)
    ]
    return Share(
        replace(batch, users=rows[mine], pairs=pairs), torch.tensor(weights, dtype=torch.float64)
    )


class RankModel(Recommender):
    """A rank's rows of a model; every method is called on all ranks.

    Losses and gradients are those of the whole model.

    Args:
        whole: The model with all rows; its tables are cut.
        partition: Whose nodes are whose.
        ranks: The ranks.

    Raises:
        ConfigError: The model cannot be partitioned.
    """

    def __init__(self, whole: Recommender, partition: Partition, ranks: Ranks) -> None:
        super().__init__()
        check_divisible(whole)
        self.partition, self.ranks = partition, ranks
        self.in_kernels = whole.in_kernels
        for name, rows in self.tables(whole).items():
            table = whole.get_parameter(name)
            table.data = rows.share(ranks.rank, table.data)
        self.inner = whole

    def tables(self, model: Recommender | None = None) -> dict[str, Rows]:
        """Return the parameters with a row per node: whose the rows are."""
        tables = (model or self.inner).node_tables
        return {name: getattr(self.partition, side) for name, side in tables.items()}

    def forward(self, graph: BehaviorGraph, batch: Batch) -> Float[Tensor, "B"]:
        """Return the whole batch's losses, the same on every rank."""
        share = share_of(batch, self.partition, self.ranks.rank)
        tables = self.tables()
        alike = {name: w for name, w in self.inner.named_parameters() if name not in tables}
        weights = share_weights(self.ranks, alike)
        losses: Tensor = functional_call(
            _Losses(self.inner, self.ranks),
            {f"inner.{name}": weight for name, weight in weights.items()},
            (graph, share.batch, self.read(batch)),
        )
        return sum_losses(self.ranks, losses * share.weights.to(losses))

    def read(self, batch: Batch) -> Int[Tensor, "i"]:
        """Return what a batch's pairs read, ascending, as rows of the table of all ranks' items."""
        rows = self.partition.items
        items = items_of(batch, len(rows.places))
        return torch.from_numpy(rows.places).to(items.device)[items].sort().values

    def encode(
        self, graph: BehaviorGraph, users: Int[Tensor, "u"] | None = None
    ) -> Representations:
        """Represent this rank's own nodes."""
        return self.inner.encode(graph, users)

    def loss(self, representations: Representations, batch: Batch) -> Float[Tensor, "B"]:
        """Not defined for a part of the nodes."""
        raise NotImplementedError("a rank's losses need all ranks: call the model itself")

    def scorer(self, representations: Representations, behavior: int) -> Scorer:
        """The model's own; see `represent` for what to give it."""
        return self.inner.scorer(representations, behavior)

    def regularized(self) -> list[nn.Parameter]:
        """Those of the model."""
        return self.inner.regularized()

    @torch.no_grad()
    def represent(self, graph: RankGraph, *, all_users: bool = False) -> Representations:
        """Represent all items, in their own order, and this rank's users (or all, in theirs)."""
        encoded = self.inner.encode(graph)
        items = self.whole(encoded.items, self.partition.items)
        if not all_users:
            own = len(self.partition.users.owned[self.ranks.rank])
            return Representations(encoded.users[:own], items)
        return Representations(self.whole(encoded.users, self.partition.users), items)

    @torch.no_grad()
    def remember(self, graph: BehaviorGraph) -> Memory:
        """What the model keeps of the items of all ranks."""
        own = self.inner.remember(graph)
        return {name: self.whole(x, self.partition.items) for name, x in own.items()}

    @torch.no_grad()
    def state(self) -> dict[str, Tensor]:
        """Return the weights of the whole model, its tables in the nodes' own order."""
        tables = self.tables()
        return {
            name: self.whole(x, tables[name]) if name in tables else x
            for name, x in self.inner.state_dict().items()
        }

    def take(self, state: Mapping[str, Tensor]) -> None:
        """Load a rank's part of the weights of the whole model."""
        tables = self.tables()
        self.inner.load_state_dict(
            {
                name: tables[name].share(self.ranks.rank, x) if name in tables else x
                for name, x in state.items()
            }
        )

    def whole(self, own: Tensor, rows: Rows) -> Tensor:
        """Return all ranks' rows of a tensor, in the nodes' own order."""
        return rows.restored(self.ranks.gather(own)[0])


class _Losses(nn.Module):
    """The losses of a rank's part of a batch."""

    def __init__(self, inner: Recommender, ranks: Ranks) -> None:
        super().__init__()
        self.inner = inner
        self._ranks = ranks

    def forward(self, graph: RankGraph, batch: Batch, items: Tensor) -> Tensor:
        encoded, some = self.inner.encode_read(graph, batch.users, items)
        chosen = None if some is None else graph.selection(some)
        table = gather_rows(self._ranks, padded(encoded.items, chosen))
        complete = replace(encoded, items=table)
        columns = None if chosen is None else chosen.columns
        batch = renumbered(batch, columns, len(graph.item_degrees()))
        read = self.inner.loss_tables or ()
        if not read:
            return self.inner.loss(complete, batch)
        tables = {f"model.{name}": self._all_rows(name) for name in read}
        losses: Tensor = functional_call(_LossOf(self.inner), tables, (complete, batch))
        return losses

    def _all_rows(self, name: str) -> Tensor:
        return gather_rows(self._ranks, self.inner.get_parameter(name))


class _LossOf(nn.Module):
    """A model's loss as a module, so that its weights can be replaced."""

    def __init__(self, model: Recommender) -> None:
        super().__init__()
        self.model = model

    def forward(self, *arguments: Any) -> Tensor:
        return self.model.loss(*arguments)


def check_divisible(model: Recommender) -> None:
    """Refuse a model that cannot be partitioned.

    Raises:
        ConfigError: It cannot.
    """
    if model.loss_tables is None or not model.node_tables:
        raise ConfigError(
            f"{type(model).__name__} cannot be trained on several ranks; cigf, lightgcn and "
            "lightgcn-m can. Train it by one process, without torchrun"
        )
