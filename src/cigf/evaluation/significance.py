"""How sure a mean or a difference is: bootstrap over users, Wilcoxon's test, Holm's correction."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cigf.errors import DataError
from cigf.evaluation.metrics import Values

RESAMPLES_AT_ONCE = 128
N_EXACT = 50
"""Users up to whose number Wilcoxon's test looks at every choice of signs."""
DECIMALS = 12
"""Of a user's difference: no two figures differ by less than 1e-12, unless they are equal."""
NOISE = 1e-6
"""Share of the mean size of differences below which a resample's mean is 0: single precision."""


def bootstrap_means(
    values: NDArray[np.float64], generator: np.random.Generator, n_bootstrap: int
) -> NDArray[np.float64]:
    """Return the means of resamples of users, drawn with replacement.

    Args:
        values: One row per user, one column per quantity, shape (users, columns); NaN where the
            quantity is not defined for a user, who then does not count in its mean.
        generator: Source of the resamples; all columns share them.
        n_bootstrap: Number of resamples.

    Returns:
        Shape (n_bootstrap, columns); NaN where a resample holds no user with the quantity.
    """
    present = ~np.isnan(values)
    # Columns that are equal, or defined for the same users, are computed once.
    columns, column = _distinct(np.where(present, values, 0.0).astype(np.float32))
    kinds, kind = _distinct(present.astype(np.float32))
    means = []
    for weights in _resamples(len(values), generator, n_bootstrap):
        n_users = (weights @ kinds).astype(np.float64)
        n_users[n_users == 0] = np.nan
        means.append((weights @ columns)[:, column] / n_users[:, kind])
    return np.concatenate(means)


def _distinct(
    columns: NDArray[np.float32],
) -> tuple[NDArray[np.float32], list[int]]:
    """Return the different columns, and which of them each column is."""
    firsts: dict[bytes, int] = {}
    places = [firsts.setdefault(column.tobytes(), len(firsts)) for column in columns.T]
    chosen = [places.index(number) for number in range(len(firsts))]
    return np.ascontiguousarray(columns[:, chosen]), places


def _resamples(
    n_users: int, generator: np.random.Generator, n_bootstrap: int
) -> Iterator[NDArray[np.float32]]:
    """Yield, some resamples at a time, how often each holds each user."""
    for start in range(0, n_bootstrap, RESAMPLES_AT_ONCE):
        n_rows = min(RESAMPLES_AT_ONCE, n_bootstrap - start)
        drawn = generator.integers(0, n_users, (n_rows, n_users))
        drawn += np.arange(n_rows)[:, None] * n_users
        counts = np.bincount(drawn.ravel(), minlength=n_rows * n_users)
        yield counts.reshape(n_rows, n_users).astype(np.float32)


def bootstrap_interval(
    values: NDArray[np.float64],
    generator: np.random.Generator,
    n_bootstrap: int = 1000,
    level: float = 0.95,
) -> NDArray[np.float64]:
    """Return percentile intervals of the means over users.

    Args:
        values: As for `bootstrap_means`.
        generator: Source of the resamples.
        n_bootstrap: Number of resamples.
        level: Share of the resampled means that an interval holds.

    Returns:
        Lower and upper bounds, shape (2, columns).
    """
    means = bootstrap_means(values, generator, n_bootstrap)
    tail = 50.0 * (1.0 - level)
    bounds = np.full((2, values.shape[1]), np.nan)
    known = ~np.isnan(means).all(axis=0)
    bounds[:, known] = np.nanpercentile(means[:, known], [tail, 100.0 - tail], axis=0)
    return bounds


@dataclass(frozen=True)
class Comparison:
    """The difference of two models' means over the same users.

    Args:
        difference: Mean of the first minus mean of the second.
        low: Lower bound of its bootstrap interval.
        high: Upper bound.
        p_value: Two-sided; of the hypothesis that the difference is 0.
    """

    difference: float
    low: float
    high: float
    p_value: float


def user_differences(first: Values, second: Values) -> Values:
    """Return each user's figure of the first model minus that of the second; NaN for no figure.

    Figures that are equal, but were summed in another order (of seeds, or of a user's items),
    differ by 1e-17. The tests ask for signs and for ties, not for sizes, and would take such noise
    for evidence; so it is rounded away here, whatever test follows.
    """
    return np.round(first - second, DECIMALS)


def paired_bootstrap(
    first: Values,
    second: Values,
    generator: np.random.Generator,
    n_bootstrap: int = 1000,
    level: float = 0.95,
) -> Comparison:
    """Compare two models on the same users by resampling these.

    The p value is twice the smaller share of resamples on either side of 0 (those at 0 count on
    both sides), with one added to both counts, so that it is never 0.

    Raises:
        DataError: The two do not have the same users.
    """
    differences = _differences(first, second)
    return paired_bootstraps(differences[:, None], generator, n_bootstrap, level)[0]


def paired_bootstraps(
    differences: NDArray[np.float64],
    generator: np.random.Generator,
    n_bootstrap: int = 1000,
    level: float = 0.95,
) -> list[Comparison]:
    """Do what `paired_bootstrap` does for many pairs of models, on the same resamples of users.

    Args:
        differences: Each user's difference (`user_differences`), one column per pair of models; NaN
            where the two have no value for her. No column is NaN throughout.
        generator: Source of the resamples.
        n_bootstrap: Number of resamples.
        level: Share of the resampled means that an interval holds.
    """
    means = bootstrap_means(differences, generator, n_bootstrap)
    # Differences of which as much is won as lost add up to 0, which counts on both sides.
    means[np.abs(means) <= NOISE * np.nanmean(np.abs(differences), axis=0)] = 0.0
    tail = 50.0 * (1.0 - level)
    bounds = np.nanpercentile(means, [tail, 100.0 - tail], axis=0)
    smaller = np.minimum((means <= 0).sum(axis=0), (means >= 0).sum(axis=0))
    n_means = (~np.isnan(means)).sum(axis=0)  # a resample may hold no user with a value
    p_values = np.minimum(1.0, 2.0 * (smaller + 1) / (n_means + 1))
    columns = (np.nanmean(differences, axis=0), *bounds, p_values)
    return [Comparison(*map(float, each)) for each in zip(*columns, strict=True)]


def wilcoxon(first: Values, second: Values) -> float:
    """Return the two-sided p value of Wilcoxon's signed-rank test; 1 where no user differs.

    Users who do not differ are left out. Of up to `N_EXACT` others the p value is exact, also with
    ties; of more it is that of the normal approximation.

    Raises:
        DataError: The two do not have the same users.
    """
    # scipy.stats takes long to import, and training does not need it.
    from scipy import stats

    differences = _differences(first, second)
    differences = differences[differences != 0]
    if not len(differences):
        return 1.0
    if len(differences) > N_EXACT:
        return float(stats.wilcoxon(differences).pvalue)
    return _exact(stats.rankdata(np.abs(differences)), differences > 0)


def _exact(ranks: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Return the share of all choices of signs whose sum of ranks is as far from the middle."""
    twice = np.rint(2 * ranks).astype(np.int64)  # ranks of ties end in .5
    ways = np.zeros(twice.sum() + 1)
    ways[0] = 1.0
    for rank in twice:
        ways[rank:] += ways[:-rank].copy()
    found = int(twice[positive].sum())
    tails = ways[: found + 1].sum(), ways[found:].sum()
    return float(min(1.0, 2.0 * min(tails) / ways.sum()))


def _differences(first: Values, second: Values) -> Values:
    if first.shape != second.shape or (np.isnan(first) != np.isnan(second)).any():
        raise DataError(
            f"paired comparison: {len(first)} and {len(second)} users, or not the same ones; "
            "evaluate both models on the same split, part and group"
        )
    differences = user_differences(first, second)[~np.isnan(first)]
    if not len(differences):
        raise DataError("paired comparison: no user has a value; choose a group that has pairs")
    return differences


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p values, in the order given."""
    order = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values, dtype=np.float64)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(p) for p in adjusted]
