"""A run's quality as its report shows it: means with intervals, beside the rules, by groups."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from cigf.analysis.user_groups import UserGroups, activity_groups, correlation_groups
from cigf.data.splitting import Part, Split
from cigf.evaluation.evaluator import Evaluation, evaluation_task
from cigf.evaluation.significance import bootstrap_interval, paired_bootstrap
from cigf.experiment.config import ExperimentConfig
from cigf.experiment.evaluating import REFERENCES
from cigf.inference.artifact import Artifact
from cigf.ranking import rank_counts
from cigf.reports.charts import Value
from cigf.reports.run_facts import MODEL, Difference, Measured, Quality, UserGroup
from cigf.seeding import numpy_generator


def judge(
    artifact: Artifact,
    split: Split,
    part: Part,
    config: ExperimentConfig,
    n_bootstrap: int,
    seed: int,
) -> Quality:
    """Measure a model and the rules on the target's held-out pairs of one part.

    Args:
        artifact: The model.
        split: The data.
        part: "test" or "valid".
        config: Its protocols, cut-offs and candidates.
        n_bootstrap: Resamples for the intervals.
        seed: Of the resamples.
    """
    wanted = config.evaluation
    k = max([cut for cut in wanted.ks if cut <= 10], default=min(wanted.ks))
    task = evaluation_task(
        split, part=part, protocols=wanted.protocols, ks=(k,), candidate_seed=wanted.candidate_seed
    )
    history = split.history(part)
    scorers = {MODEL: artifact.scorer()} | {
        name: build(history, history.behaviors.target) for name, build in REFERENCES.items()
    }
    results = {name: task.run(partial(rank_counts, scorer)) for name, scorer in scorers.items()}
    users = np.unique(task.task.users)
    judged = _Judged(results, f"hr@{k}", wanted.protocols[0], n_bootstrap, seed)
    return Quality(
        part=part,
        k=k,
        n_pairs=results[MODEL].n_pairs,
        n_users=len(users),
        measured={name: judged.measured(name) for name in results},
        differences=judged.differences(f"ndcg@{k}"),
        by_activity=judged.by_group(activity_groups(history, users), _range),
        by_correlation=judged.by_group(correlation_groups(history, users), _about),
        protocol=wanted.protocols[0],
    )


Label = Callable[[NDArray[np.float64]], str]


class _Judged:
    """Results of several scorers over the same users.

    Args:
        results: By scorer.
        metric: What groups of users are compared by.
        protocol: Under which.
        n_bootstrap: Resamples.
        seed: Of the resamples; the same for everything, so that figures can be compared.
    """

    def __init__(
        self,
        results: Mapping[str, Evaluation],
        metric: str,
        protocol: str,
        n_bootstrap: int,
        seed: int,
    ) -> None:
        self._results = results
        self._metric = metric
        self._protocol = protocol
        self._n_bootstrap = n_bootstrap
        self._seed = seed

    def _generator(self) -> np.random.Generator:
        return numpy_generator(self._seed, "bootstrap")

    def measured(self, name: str) -> Measured:
        """Return the means of a scorer with their intervals."""
        result = self._results[name]
        intervals = result.intervals(self._generator(), self._n_bootstrap)
        found: dict[str, dict[str, dict[str, Value]]] = {}
        for protocol, groups in result.means().items():
            for group, metrics in groups.items():
                values = found.setdefault(protocol, {}).setdefault(group, {})
                for metric, mean in metrics.items():
                    if not np.isnan(mean):
                        values[metric] = Value(mean, *intervals[protocol][group][metric])
        return found

    def differences(self, metric: str) -> dict[tuple[str, str, str], Difference]:
        """Return the model's mean less each rule's, by rule, protocol and group."""
        mine = self._results[MODEL]
        found = {}
        for name, theirs in self._results.items():
            for protocol, group, each in mine.names:
                if name == MODEL or each != metric or not mine.n_pairs[group]:
                    continue
                first, second = (r.column(protocol, group, metric) for r in (mine, theirs))
                compared = paired_bootstrap(first, second, self._generator(), self._n_bootstrap)
                found[name, protocol, group] = Difference(
                    compared.difference, compared.low, compared.high
                )
        return found

    def by_group(self, groups: UserGroups, label: Label) -> list[UserGroup]:
        """Return each group's figures; `label` says what the values of a group are."""
        columns = {
            name: result.column(self._protocol, "all", self._metric)
            for name, result in self._results.items()
        }
        found = []
        for number in range(groups.n_groups):
            inside = groups.group == number
            if not inside.any():
                continue
            values = np.stack([column[inside] for column in columns.values()], axis=1)
            found.append(
                UserGroup(
                    label(groups.value[inside]),
                    int(inside.sum()),
                    dict(zip(columns, self._values(values), strict=True)),
                )
            )
        return found

    def _values(self, values: NDArray[np.float64]) -> list[Value]:
        low, high = bootstrap_interval(values, self._generator(), self._n_bootstrap)
        means = values.mean(axis=0)
        return [Value(*map(float, each)) for each in zip(means, low, high, strict=True)]


def _range(values: NDArray[np.float64]) -> str:
    low, high = f"{values.min():.0f}", f"{values.max():.0f}"
    return low if low == high else f"{low} to {high}"


def _about(values: NDArray[np.float64]) -> str:
    # The groups' ranges overlap, because each is taken from every stratum of activity.
    return f"about {np.median(values) + 0.0:.2f}"
