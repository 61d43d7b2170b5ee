"""Groups of users by how active they are and by how their behaviors go together (figure 8).

Axes: U users, I items, B behaviors.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from cigf.data.dataset import Dataset, Matrix, contains, pair_keys, pair_rows

NO_GROUP = -1
"""The group of users for whom the grouping quantity is not defined."""

N_GROUPS = 6
USERS_PER_STRATUM = 10 * N_GROUPS
"""Users of about the same activity among whom a correlation group takes its share."""


@dataclass(frozen=True, eq=False)
class UserGroups:
    """A partition of some users.

    Args:
        value: The quantity by which they are grouped, shape (n,); NaN where it is not defined.
        group: Number of each user's group from 0, ascending in the quantity; `NO_GROUP` without
            one; shape (n,).
        n_interactions: Pairs of each user under all behaviors, shape (n,).
    """

    value: NDArray[np.float64]
    group: NDArray[np.int64]
    n_interactions: NDArray[np.int64]

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return int(self.group.max(initial=NO_GROUP)) + 1


def behavior_correlation(dataset: Dataset) -> NDArray[np.float64]:
    """Return how much each user's behaviors go together, shape (U,).

    The mean over pairs of behaviors of Pearson's correlation between her two binary rows (Guo et
    al., WWW 2023, eqs. 25 and 26): with a and b items under either and c under both, of I items,
    `(c - ab / I) / sqrt((a - a^2 / I) (b - b^2 / I))`. A pair of behaviors of which she has one
    with no item or with all items does not count; NaN where no pair counts.
    """
    found = [_correlation(first, second) for first, second in combinations(dataset.interactions, 2)]
    if not found:
        return np.full(dataset.n_users, np.nan)
    each = np.stack(found)
    n_defined = (~np.isnan(each)).sum(axis=0)
    return np.where(n_defined > 0, np.nansum(each, axis=0) / np.maximum(n_defined, 1), np.nan)


def _correlation(first: Matrix, second: Matrix) -> NDArray[np.float64]:
    n_users, n_items = first.shape
    a, b = (np.diff(matrix.indptr).astype(np.float64) for matrix in (first, second))
    both = contains(pair_keys(second), pair_keys(first))
    c = np.bincount(pair_rows(first)[both], minlength=n_users)
    spread = (a - a * a / n_items) * (b - b * b / n_items)
    defined = spread > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(defined, (c - a * b / n_items) / np.sqrt(spread), np.nan)


def correlation_groups(dataset: Dataset, users: NDArray[np.int64]) -> UserGroups:
    """Group users by `behavior_correlation`, with about equal activity in every group.

    Active users have other correlations than idle ones, and are easier or harder to predict for
    that reason alone. So users are first laid in strata of about the same number of interactions,
    and each group takes the same share of every stratum; the sizes of two groups differ by one
    user at most.

    Args:
        dataset: What is known about the users.
        users: Who is grouped, shape (n,).
    """
    value = behavior_correlation(dataset)[users]
    n_interactions = count_interactions(dataset)[users]
    group = np.full(len(users), NO_GROUP, dtype=np.int64)
    defined = np.flatnonzero(~np.isnan(value))
    by_activity = defined[np.argsort(n_interactions[defined], kind="stable")]
    # Whole strata divide evenly; only the last one, which takes the rest, leaves a remainder.
    last = max(1, len(defined) // USERS_PER_STRATUM) * USERS_PER_STRATUM
    starts = np.arange(USERS_PER_STRATUM, last, USERS_PER_STRATUM)
    for stratum in np.split(by_activity, starts):
        ordered = stratum[np.argsort(value[stratum], kind="stable")]
        for number, share in enumerate(np.array_split(ordered, N_GROUPS)):
            group[share] = number
    return UserGroups(value, group, n_interactions)


def activity_groups(dataset: Dataset, users: NDArray[np.int64]) -> UserGroups:
    """Group users by their number of interactions; equal numbers are never parted.

    Args:
        dataset: What is known about the users.
        users: Who is grouped, shape (n,).
    """
    n_interactions = count_interactions(dataset)[users]
    if not len(users):
        return UserGroups(n_interactions.astype(np.float64), n_interactions, n_interactions)
    ordered = np.sort(n_interactions)
    starts = [len(ordered) * number // N_GROUPS for number in range(1, N_GROUPS)]
    bounds = np.unique(ordered[starts])
    bounds = bounds[bounds > ordered[0]]
    group = np.searchsorted(bounds, n_interactions, side="right").astype(np.int64)
    return UserGroups(n_interactions.astype(np.float64), group, n_interactions)


def count_interactions(dataset: Dataset) -> NDArray[np.int64]:
    """Return each user's number of pairs under all behaviors, shape (U,)."""
    counts = [np.diff(matrix.indptr) for matrix in dataset.interactions]
    total: NDArray[np.int64] = np.sum(counts, axis=0, dtype=np.int64)
    return total
