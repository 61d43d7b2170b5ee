"""Comparing models over seeds and users: means and spreads, paired tests against the best.

Two kinds of chance are kept apart. Between the seeds of training a figure has a mean and a standard
deviation. Between users the models are compared in pairs, on each user's figures averaged over
the seeds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cigf.data.tasks import RankCounts
from cigf.errors import ArtifactError
from cigf.evaluation.evaluator import Evaluation
from cigf.evaluation.metrics import Values
from cigf.evaluation.significance import (
    Comparison,
    holm,
    paired_bootstraps,
    user_differences,
    wilcoxon,
)
from cigf.storage import new_file

Name = tuple[str, str, str]
"""What a column of figures is: protocol, group, metric."""


def save_counts(counts: RankCounts, path: Path) -> None:
    """Write the ranks of all held-out pairs as Parquet: everything that is measured follows.

    Args:
        counts: The ranks.
        path: The file; columns touched, full_all, full_group, and with candidates sampled_all and
            sampled_group: the number of competitors above each pair, in the order of the task.
    """
    columns = {
        name: values.astype(np.int32)
        for name, values in vars(counts).items()
        if values is not None and name != "is_touched"
    }
    table = pl.DataFrame({"touched": counts.is_touched, **columns})
    with new_file(path) as temporary:
        table.write_parquet(temporary)


def load_counts(path: Path) -> RankCounts:
    """Read what `save_counts` wrote.

    Raises:
        ArtifactError: The file is missing or damaged.
    """
    try:
        table = pl.read_parquet(path, glob=False)
        columns = {
            name: table[name].to_numpy().astype(np.int64)
            for name in table.columns
            if name != "touched"
        }
        return RankCounts(is_touched=table["touched"].to_numpy(), **columns)
    except (OSError, pl.exceptions.PolarsError, TypeError) as error:
        raise ArtifactError(f"{path}: not a readable file of ranks ({error})") from None


@dataclass(frozen=True, eq=False)
class Measured:
    """One model of a comparison, measured with one or more seeds.

    Args:
        names: What the columns are.
        n_pairs: Held-out pairs per group.
        per_seed: Means over users, shape (seeds, names); NaN for groups without pairs.
        per_user: Means over seeds, shape (users, names); NaN where a user has no pair in a group.
    """

    names: tuple[Name, ...]
    n_pairs: dict[str, int]
    per_seed: Values
    per_user: Values

    def mean(self, name: Name) -> float:
        """Return the mean over seeds."""
        return float(self.per_seed[:, self.names.index(name)].mean())

    def deviation(self, name: Name) -> float | None:
        """Return the standard deviation over seeds, as of a sample; None of a single one."""
        if len(self.per_seed) < 2:
            return None
        return float(self.per_seed[:, self.names.index(name)].std(ddof=1))

    def users(self, name: Name) -> Values:
        """Return each user's figure."""
        return self.per_user[:, self.names.index(name)]


def over_seeds(evaluations: Iterable[Evaluation]) -> Measured:
    """Average a model's evaluations, one for each seed, on the same pairs."""
    means: list[NDArray[np.float64]] = []
    total: Values | None = None
    for evaluation in evaluations:
        flat = evaluation.means()
        means.append(np.array([flat[p][g][m] for p, g, m in evaluation.names]))
        total = evaluation.values if total is None else total + evaluation.values
        last = evaluation
    assert total is not None, "no evaluation was given"
    return Measured(last.names, last.n_pairs, np.stack(means), total / len(means))


@dataclass(frozen=True)
class Difference:
    """A model against the best one, in one figure.

    Args:
        name: What was measured.
        best: The model with the highest mean.
        model: The other one.
        difference: Mean over users of the model's figure minus the best's.
        low: Lower bound of its 95 % bootstrap interval over users.
        high: Upper bound.
        p_bootstrap: Two-sided, of the paired bootstrap.
        p_wilcoxon: Two-sided, of Wilcoxon's signed-rank test.
        holm_bootstrap: The same after Holm's correction for all models compared in this figure.
        holm_wilcoxon: Likewise.
    """

    name: Name
    best: str
    model: str
    difference: float
    low: float
    high: float
    p_bootstrap: float
    p_wilcoxon: float
    holm_bootstrap: float
    holm_wilcoxon: float


def against_best(
    models: dict[str, Measured],
    names: Sequence[Name],
    generator: np.random.Generator,
    *,
    candidates: Sequence[str] | None = None,
    n_bootstrap: int = 10_000,
) -> list[Difference]:
    """Compare every model with the best in each figure.

    Args:
        models: By name, measured on the same pairs.
        names: Which figures.
        generator: Source of the resamples of users.
        candidates: Who may be the best; None: everyone.
        n_bootstrap: Number of resamples, the same for all; many, because Holm's correction
            multiplies the smallest p value, 2 / (n_bootstrap + 1), by the number of models.

    Returns:
        By figure, then in the order of `models`; figures without any pair are left out.
    """
    matches = [
        (name, best, [each for each in models if each != best])
        for name in names
        if (best := _best(models, name, candidates or list(models))) is not None
    ]
    differences = [
        user_differences(models[other].users(name), models[best].users(name))
        for name, best, others in matches
        for other in others
    ]
    if not differences:
        return []
    # All at once, because drawing the resamples takes longer than what is done with them.
    tested = iter(paired_bootstraps(np.stack(differences, axis=1), generator, n_bootstrap))
    found = []
    for name, best, others in matches:
        found += _differences(models, name, best, {other: next(tested) for other in others})
    return found


def _best(models: dict[str, Measured], name: Name, candidates: Sequence[str]) -> str | None:
    able = [each for each in candidates if not np.isnan(models[each].mean(name))]
    return max(able, key=lambda each: models[each].mean(name), default=None)


def _differences(
    models: dict[str, Measured], name: Name, best: str, tested: dict[str, Comparison]
) -> list[Difference]:
    """Add Wilcoxon's test and Holm's correction for the models of one figure."""
    reference = models[best].users(name)
    ranked = [wilcoxon(models[other].users(name), reference) for other in tested]
    corrected = holm([each.p_value for each in tested.values()]), holm(ranked)
    return [
        Difference(
            name, best, other, each.difference, each.low, each.high, each.p_value, p, *adjusted
        )
        for (other, each), p, *adjusted in zip(tested.items(), ranked, *corrected, strict=True)
    ]
