"""What a report of a run is made of: plain values, gathered by `cigf.experiment.reporting`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from cigf.data.describe import Description
from cigf.reports.charts import Value

MODEL = "model"
"""The name of the model among the scorers; the others are rules without learning."""

Measured = Mapping[str, Mapping[str, Mapping[str, Value]]]
"""Means with their intervals: protocol -> group of pairs -> metric."""


@dataclass(frozen=True)
class Difference:
    """How much better the model is than a rule, over the same users: mean and 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class UserGroup:
    """Some users with held-out pairs.

    Args:
        label: Who they are.
        n_users: How many.
        values: The metric of each scorer.
    """

    label: str
    n_users: int
    values: Mapping[str, Value]


@dataclass(frozen=True)
class Quality:
    """How well the held-out pairs are found.

    Args:
        part: "test" or "valid".
        k: The cut-off of what is shown.
        n_pairs: Held-out pairs by group (all, touched, new).
        n_users: Users who have some.
        measured: By scorer.
        differences: By rule, protocol and group: the model's NDCG less the rule's.
        by_activity: Users by their number of interactions; HR under `protocol`.
        by_correlation: Users by how their behaviors go together.
        protocol: Of the groups of users and of the key figures.
    """

    part: str
    k: int
    n_pairs: Mapping[str, int]
    n_users: int
    measured: Mapping[str, Measured]
    differences: Mapping[tuple[str, str, str], Difference]
    by_activity: Sequence[UserGroup]
    by_correlation: Sequence[UserGroup]
    protocol: str

    @property
    def names(self) -> tuple[str, str, str]:
        """The metrics that are shown."""
        return f"hr@{self.k}", f"ndcg@{self.k}", "mrr"

    def value(self, scorer: str, group: str, metric: str | None = None) -> Value | None:
        """Return a figure under the leading protocol (default: HR); None where there is none."""
        return self.measured[scorer][self.protocol].get(group, {}).get(metric or self.names[0])


@dataclass(frozen=True)
class UserLists:
    """One user's example.

    Args:
        user: Her id.
        history: What she did: behavior -> item ids, the deepest behavior first, the last first.
        recommended: Name of a list -> item ids, best first.
        wanted: The items that were held out.
    """

    user: str
    history: Mapping[str, Sequence[str]]
    recommended: Mapping[str, Sequence[str]]
    wanted: Sequence[str] = ()


@dataclass(frozen=True)
class RunFacts:
    """All that a report shows.

    Args:
        run: The run's folder, as it was named.
        model: Name of the model.
        info: run.json.
        options: Every option: section, name, value, and whether it is not the default.
        epochs: The lines of metrics.jsonl.
        metric: The validation metric that selects the epoch.
        description: The data.
        dropped: What was left out when the data were prepared, by reason.
        has_times: Whether the target's events have times.
        quality: None where nothing is held out.
        shown_items: Share of the catalog in the lists of `listed_users` users.
        listed_users: How many users' lists were counted.
        relations: As `top_and_bottom` of the analysis returns them; None where there are none.
        gates: As `expert_utilization` of the analysis returns them; None where there are none.
        users: Examples.
    """

    run: str
    model: str
    info: Mapping[str, Any]
    options: Sequence[tuple[str, str, str, bool]]
    epochs: Sequence[Mapping[str, Any]]
    metric: str
    description: Description
    dropped: Mapping[str, int]
    has_times: bool
    quality: Quality | None
    shown_items: float
    listed_users: int
    relations: pl.DataFrame | None
    gates: pl.DataFrame | None
    users: Sequence[UserLists]

    @property
    def behaviors(self) -> list[str]:
        """Their names, the target last."""
        return self.description.behavior_names

    @property
    def validated(self) -> list[Mapping[str, Any]]:
        """The epochs that were validated by `metric`."""
        return [each for each in self.epochs if self.metric in (each.get("metrics") or {})]
