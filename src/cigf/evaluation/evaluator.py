"""Evaluation: from a ranking function and a split to one value per user, metric and protocol.

The ranking function is whatever answers a `RankingTask` with `RankCounts`, so this module knows
neither models nor torch. One call of it serves both protocols and all groups.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cigf.data.candidates import candidate_generator, draw_candidates
from cigf.data.dataset import Dataset
from cigf.data.splitting import Candidates, HeldOut, Part, Split
from cigf.data.tasks import GROUPS, PROTOCOLS, Protocol, RankCounts, RankingTask, ranking_task
from cigf.errors import DataError
from cigf.evaluation.metrics import DEFAULT_METRICS, Values, metric_names
from cigf.evaluation.protocols import check_protocols, measure_users
from cigf.evaluation.significance import bootstrap_interval
from cigf.storage import new_file

Rank = Callable[[RankingTask], RankCounts]

DEFAULT_KS = (1, 5, 10, 20)
N_CANDIDATES = 99


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Values of every user, from which means, intervals, tables and tests are made.

    Args:
        user_ids: External ids of the users that have held-out pairs.
        n_pairs: Held-out pairs per group.
        names: What the columns of `values` are: (protocol, group, metric).
        values: Shape (users, names); NaN where a user has no pair in the group.
    """

    user_ids: pl.Series
    n_pairs: dict[str, int]
    names: tuple[tuple[str, str, str], ...]
    values: Values

    def column(self, protocol: str, group: str, metric: str) -> Values:
        """Return one value per user, NaN for those without a pair in the group."""
        return self.values[:, self.names.index((protocol, group, metric))]

    def means(self) -> dict[str, dict[str, dict[str, float]]]:
        """Return the means over users, as protocol -> group -> metric; NaN for empty groups."""
        present = ~np.isnan(self.values)
        sums = np.where(present, self.values, 0.0).sum(axis=0)
        n_users = present.sum(axis=0).astype(np.float64)
        n_users[n_users == 0] = np.nan
        return self._nested((sums / n_users).tolist())

    def intervals(
        self, generator: np.random.Generator, n_bootstrap: int = 1000, level: float = 0.95
    ) -> dict[str, dict[str, dict[str, list[float]]]]:
        """Return bootstrap intervals of the means over users, in the form of `means`.

        Args:
            generator: Source of the resamples.
            n_bootstrap: Number of resamples.
            level: Share of the resampled means that an interval holds.
        """
        bounds = bootstrap_interval(self.values, generator, n_bootstrap, level)
        return self._nested(bounds.T.tolist())

    def table(self) -> pl.DataFrame:
        """Return one row per user: user_id and columns such as ndcg@10/full/touched."""
        columns = {
            f"{metric}/{protocol}/{group}": self.values[:, number]
            for number, (protocol, group, metric) in enumerate(self.names)
        }
        values = pl.DataFrame(columns, nan_to_null=True)
        return values.insert_column(0, self.user_ids.alias("user_id"))

    def to_parquet(self, path: Path, *, force: bool = True) -> None:
        """Write `table` to a Parquet file."""
        with new_file(path, force=force) as temporary:
            self.table().write_parquet(temporary)

    def to_json(self, intervals: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the parts "n" and "metrics" of a result, and "intervals" where given.

        A mean over no users is None, as JSON has no NaN.
        """
        parts: dict[str, Any] = {"n": dict(self.n_pairs), "metrics": _without_nan(self.means())}
        if intervals is not None:
            parts["intervals"] = _without_nan(intervals)
        return parts

    def _nested(self, values: list[Any]) -> dict[str, dict[str, dict[str, Any]]]:
        nested: dict[str, dict[str, dict[str, Any]]] = {}
        for (protocol, group, metric), value in zip(self.names, values, strict=True):
            nested.setdefault(protocol, {}).setdefault(group, {})[metric] = value
        return nested


@dataclass(frozen=True, eq=False)
class EvaluationTask:
    """A ranking task with what is to be measured; made once, run for every epoch or model.

    Args:
        task: The held-out pairs and their competitors.
        user_ids: External ids of the users that have pairs, in the order of the task.
        protocols: What to measure under.
        metrics: Full names of what to measure.
    """

    task: RankingTask
    user_ids: pl.Series
    protocols: tuple[Protocol, ...]
    metrics: tuple[str, ...]

    def run(self, rank: Rank) -> Evaluation:
        """Rank once and measure everything."""
        positions = np.unique(self.task.users, return_inverse=True)[1]
        return measure_counts(
            rank(self.task), positions, self.user_ids, self.protocols, self.metrics
        )


def measure_counts(
    counts: RankCounts,
    positions: NDArray[np.int64],
    user_ids: pl.Series,
    protocols: Iterable[Protocol],
    metrics: Sequence[str],
) -> Evaluation:
    """Measure what has been ranked.

    Args:
        counts: The ranks of the held-out pairs.
        positions: The user of each pair as a row of `user_ids`, ascending.
        user_ids: External ids of the users that have pairs.
        protocols: What to measure under.
        metrics: Full names of what to measure.
    """
    names, columns = [], []
    for protocol in protocols:
        for group in GROUPS:
            names += [(protocol, group, metric) for metric in metrics]
            columns += measure_users(counts, positions, len(user_ids), protocol, group, metrics)
    n_pairs: dict[str, int] = {g: int(counts.members(g).sum()) for g in GROUPS}
    return Evaluation(user_ids, n_pairs, tuple(names), np.stack(columns, axis=1))


def evaluate(
    rank: Rank,
    split: Split,
    *,
    part: Part = "test",
    behavior: str | None = None,
    protocols: Iterable[str] = PROTOCOLS,
    ks: Iterable[int] = DEFAULT_KS,
    metrics: Iterable[str] = DEFAULT_METRICS,
    candidate_seed: int = 0,
) -> Evaluation:
    """Rank the held-out pairs of a split and measure them (see `evaluation_task`)."""
    return evaluation_task(
        split,
        part=part,
        behavior=behavior,
        protocols=protocols,
        ks=ks,
        metrics=metrics,
        candidate_seed=candidate_seed,
    ).run(rank)


def evaluation_task(
    split: Split,
    *,
    part: Part = "test",
    behavior: str | None = None,
    protocols: Iterable[str] = PROTOCOLS,
    ks: Iterable[int] = DEFAULT_KS,
    metrics: Iterable[str] = DEFAULT_METRICS,
    candidate_seed: int = 0,
) -> EvaluationTask:
    """Prepare to measure the held-out pairs of a split.

    Args:
        split: The data; `part` is judged with everything known at its time as history.
        part: "test" or "valid".
        behavior: Whose held-out pairs; None for the target's.
        protocols: "full", "1+99" or both.
        ks: Cut-offs.
        metrics: Names without cut-offs.
        candidate_seed: Which candidates of 1+99; drawn where the split does not store them.

    Raises:
        DataError: The part holds out no pairs of that behavior.
        ConfigError: A protocol is unknown.
    """
    chosen = check_protocols(protocols)
    name = split.train.behaviors.target_name if behavior is None else behavior
    number = split.train.behaviors.index(name)
    held_out = _held_out(split, part, name)
    history = split.history(part)
    candidates = None
    if "1+99" in chosen:
        candidates = _candidates(split, history, held_out, (part, name, candidate_seed))
    task = ranking_task(history, held_out, number, candidates, full="full" in chosen)
    user_ids = history.users.external(np.unique(held_out.users))
    return EvaluationTask(task, user_ids, chosen, metric_names(metrics, ks))


def _held_out(split: Split, part: Part, behavior: str) -> HeldOut:
    parts = {"valid": split.valid, "test": split.test}[part]
    held_out = parts.get(behavior)
    if held_out is None or len(held_out) == 0:
        others = [name for name, pairs in parts.items() if len(pairs)]
        raise DataError(
            f"{part}: no pairs of behavior {behavior!r} are held out; "
            f"held out are those of: {', '.join(others) or 'none'}. "
            "Choose one of these, or prepare the data with a split that holds some out"
        )
    return held_out


def _candidates(
    split: Split, history: Dataset, held_out: HeldOut, key: tuple[Part, str, int]
) -> Candidates:
    stored = split.candidates.get(key)
    if stored is not None:
        return stored
    part, behavior, seed = key
    number = history.behaviors.index(behavior)
    generator = candidate_generator(seed, part, behavior)
    return draw_candidates(history, held_out, number, N_CANDIDATES, generator)


def _without_nan(nested: Any) -> Any:
    if isinstance(nested, dict):
        return {key: _without_nan(value) for key, value in nested.items()}
    if isinstance(nested, list):
        return [_without_nan(value) for value in nested]
    return None if np.isnan(nested) else nested
