"""Why a model gives a pair its score: gates, relations, and the paths behind it with their shares.

Axes: B behaviors, D embedding size, n edges of a node.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from cigf.analysis.gates import expert_names, has_gates
from cigf.analysis.relations import has_relations, relation_table
from cigf.analysis.shares import Weigh, can_be_shared_out, shares, weigh_by
from cigf.analysis.terms import NodeTerms, Tracer
from cigf.analysis.wording import path_text
from cigf.data.dataset import Dataset
from cigf.errors import ArtifactError, NotExplainableError
from cigf.graph.bipartite import BehaviorGraph
from cigf.models.base import Recommender, Representations
from cigf.models.cigf import CIGF
from cigf.nn.heads import MESIHead

_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a user gets an item; every table is a Polars frame in external ids.

    The attention weights and the gate are held at their values for this pair. Then the score is
    the sum of `shares["share"]`, and also of `layers["share"]` and of `experts["share"]`.

    Args:
        user: Who.
        item: What.
        behavior: The behavior that is predicted.
        score: The model's score of the pair.
        experts: expert, weight (the gate's; they sum to 1), share. Empty without a gate.
        relations: order, relation, walk, average, weight, as `relation_table` returns them, the
            heaviest for this user first. Empty where the model has none.
        layers: layer (0: the user's own embedding), share.
        shares: behavior and item_id of each of the user's events (null: her own embedding),
            through (what other users did with the item; null: the item's own embedding), share;
            the largest first.
        paths: The k events with the largest positive share: behavior, item_id, through (by which
            others lead from there to the item with the largest share; null where none do), share
            (of the whole event), n_others (how many: users other than her who did `behavior` with
            item_id and `through` with the item), text.
    """

    user: Any
    item: Any
    behavior: str
    score: float
    experts: pl.DataFrame
    relations: pl.DataFrame
    layers: pl.DataFrame
    shares: pl.DataFrame
    paths: pl.DataFrame

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values, the shares of single events left out."""
        tables = ("experts", "relations", "layers", "paths")
        facts = {name: getattr(self, name) for name in ("user", "item", "behavior", "score")}
        return {**facts, **{name: getattr(self, name).to_dicts() for name in tables}}


class Explainer:
    """Explains the pairs of one model; what all pairs need is computed once.

    Args:
        model: The model.
        representations: Its encoded users and items.
        graph: The graph of the representations.
        learned: The data of that graph.

    Raises:
        NotExplainableError: The scores of this model cannot be shared out.
    """

    def __init__(
        self,
        model: Recommender,
        representations: Representations,
        graph: BehaviorGraph,
        learned: Dataset,
    ) -> None:
        if not isinstance(model, CIGF) or not can_be_shared_out(model):
            raise NotExplainableError(
                "this model's scores cannot be explained: they are no sums of shares; cigf's are, "
                'with aggregator = "lightgcn" and head = "mesi" or "bilinear"'
            )
        self._model = model
        self._representations = representations
        self._learned = learned
        self._tracer = Tracer(model, graph)

    def explain(self, user: int, item: int, behavior: int, k: int = 5) -> Explanation:
        """Explain one pair.

        Args:
            user: Row of the user.
            item: Row of the item.
            behavior: The task.
            k: Most paths that are put into words.

        Raises:
            ArtifactError: The representations are not those of the graph.
        """
        mine, theirs = self._tracer.user(user), self._tracer.item(item)
        x, y = self._representations.users[user], self._representations.items[item]
        _check_sums(mine, x)
        _check_sums(theirs, y)
        weigh = weigh_by(self._model.head, x, y, behavior)
        table = self._shares(mine, theirs, weigh)
        data = self._learned
        rows = torch.tensor([user]), torch.tensor([item])
        with torch.no_grad():
            score = self._model.scorer(self._representations, behavior).pairs(*rows)
        return Explanation(
            user=data.users.ids[user],
            item=data.items.ids[item],
            behavior=data.behaviors.names[behavior],
            score=score.item(),
            experts=self._experts(x, y, behavior),
            relations=self._relations(user),
            layers=_layers(mine, theirs, weigh),
            shares=self._external(table),
            paths=self._paths(table, k, user, item),
        )

    def _experts(
        self, x: Float[Tensor, "B D"], y: Float[Tensor, "B D"], behavior: int
    ) -> pl.DataFrame:
        head = self._model.head
        if not has_gates(self._model) or not isinstance(head, MESIHead):
            return pl.DataFrame(schema={"expert": pl.String, "weight": float, "share": float})
        with torch.no_grad():
            gate = head.gate_weights(x[None], y[None], behavior)[0].double()
        products = head.scale * gate * (x.double() * y.double()).sum(1)
        names = expert_names(head, self._learned.behaviors, behavior)
        return pl.DataFrame({"expert": names, "weight": gate.numpy(), "share": products.numpy()})

    def _relations(self, user: int) -> pl.DataFrame:
        if not has_relations(self._model):
            return pl.DataFrame()
        table = relation_table(self._model, self._learned.behaviors, user)
        return table.sort("order", "weight", descending=[False, True], maintain_order=True)

    def _shares(self, mine: NodeTerms, theirs: NodeTerms, weigh: Weigh) -> pl.DataFrame:
        """Every event (-1: her own embedding) by every behavior of the item's users (-1: none)."""
        n_behaviors = len(self._learned.behaviors)
        events = torch.cat([mine.own[None], mine.edges.sum(1)])
        whole = theirs.edges.sum(1)
        by_behavior = [whole[theirs.behaviors == each].sum(0) for each in range(n_behaviors)]
        found = shares(events, torch.stack([theirs.own, *by_behavior]), weigh)
        event, through = np.meshgrid(
            np.arange(len(events)), np.arange(-1, n_behaviors), indexing="ij"
        )
        behaviors = np.concatenate([[-1], mine.behaviors.numpy()])
        items = np.concatenate([[-1], mine.neighbors.numpy()])
        table = {
            "behavior": behaviors[event.ravel()],
            "item": items[event.ravel()],
            "through": through.ravel(),
            "share": found.numpy().ravel(),
        }
        return pl.DataFrame(table).sort("share", descending=True, maintain_order=True)

    def _external(self, table: pl.DataFrame) -> pl.DataFrame:
        """Put names and ids in the place of numbers; null for -1."""
        names = list(self._learned.behaviors)
        ids = self._learned.items.ids

        def name(column: str) -> pl.Series:
            values = [names[n] if n >= 0 else None for n in table[column].to_list()]
            return pl.Series(column, values, dtype=pl.String)

        items = table["item"].to_list()
        external = pl.Series("item_id", [ids[n] if n >= 0 else None for n in items], ids.dtype)
        return pl.DataFrame([name("behavior"), external, name("through"), table["share"]])

    def _paths(self, table: pl.DataFrame, k: int, user: int, item: int) -> pl.DataFrame:
        events = table.filter(pl.col("behavior") >= 0).group_by("behavior", "item")
        totals = events.agg(pl.col("share").sum()).filter(pl.col("share") > 0)
        best = totals.sort("share", "behavior", "item", descending=[True, False, False]).head(k)
        ways = [
            self._way(table.filter(behavior=behavior, item=touched), user, item)
            for behavior, touched in best.select("behavior", "item").iter_rows()
        ]
        through, counts = zip(*ways, strict=True) if ways else ((), ())
        named = self._external(best.with_columns(pl.Series("through", through, pl.Int64)))
        goal = str(self._learned.items.ids[item])
        texts = [
            path_text(behavior, str(touched), way, goal, count)
            for (behavior, touched, way, _), count in zip(named.iter_rows(), counts, strict=True)
        ]
        return named.with_columns(
            pl.Series("n_others", counts, pl.Int64), pl.Series("text", texts, pl.String)
        )

    def _way(self, event: pl.DataFrame, user: int, item: int) -> tuple[int, int]:
        """Return by which behavior others lead from an event to the item best, and how many."""
        for row in event.filter(pl.col("share") > 0).iter_rows(named=True):
            n_others = self._n_others(row, user, item) if row["through"] >= 0 else 0
            if n_others:
                return row["through"], n_others
        return -1, 0

    def _n_others(self, row: dict[str, int], user: int, item: int) -> int:
        """Users other than her who have both ends of a path."""
        first = self._tracer.users_of(row["behavior"], row["item"])
        second = self._tracer.users_of(row["through"], item)
        both = np.intersect1d(first, second, assume_unique=True)
        return int((both != user).sum())


def _layers(mine: NodeTerms, theirs: NodeTerms, weigh: Weigh) -> pl.DataFrame:
    by_layer = torch.cat([mine.own[None], mine.edges.sum(0)])
    found = shares(by_layer, theirs.total()[None], weigh)[:, 0]
    return pl.DataFrame({"layer": np.arange(len(found)), "share": found.numpy()})


def _check_sums(terms: NodeTerms, representation: Float[Tensor, "B D"]) -> None:
    whole, expected = terms.total(), representation.double()
    if not torch.allclose(whole, expected, _TOLERANCE, _TOLERANCE * expected.abs().max().item()):
        raise ArtifactError(
            "the artifact's representations are not those of its graph, so its scores cannot be "
            "shared out; train the model again with this version of cigf"
        )
