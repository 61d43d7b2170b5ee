"""Metrics of rankings, from the ranks of the relevant items alone.

T is the set of relevant (held-out) items of a ranking and k the cut-off. Ranks count from 1, ties
are already counted against the relevant item, and a list shorter than k simply has fewer hits.
A ranking without relevant items has no value: NaN.

| name | value | for one relevant item at rank r |
| --- | --- | --- |
| hr@k | 1 if any item of T is among the first k, else 0 | 1 if r <= k |
| recall@k | hits among the first k / |T| | 1 if r <= k |
| precision@k | hits among the first k / k | 1 / k if r <= k |
| ndcg@k | sum over hits of 1 / log2(rank + 1), by the best possible | 1 / log2(r + 1) if r <= k |
| map@k | sum over hits of the precision at their ranks / min(|T|, k) | 1 / r if r <= k |
| mrr | 1 / rank of the first item of T | 1 / r |
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cigf.errors import ConfigError, did_you_mean

Values = NDArray[np.float64]
"""One value per ranking (or per user)."""


@dataclass(frozen=True, eq=False)
class Rankings:
    """The ranks of the relevant items of some rankings.

    Args:
        ranks: Ranks from 1, one ranking after the other, shape (n,); none twice in a ranking.
        offsets: Where each ranking's ranks begin, and n; shape (rankings + 1,).
    """

    ranks: NDArray[np.int64]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def n_relevant(self) -> NDArray[np.int64]:
        """|T| of each ranking."""
        return np.diff(self.offsets)

    @cached_property
    def owners(self) -> NDArray[np.int64]:
        """The ranking of each rank."""
        return np.repeat(np.arange(len(self)), self.n_relevant)

    def sum(self, values: NDArray[np.float64] | NDArray[np.bool_]) -> Values:
        """Sum one value per rank over each ranking; NaN for rankings without relevant items."""
        sums = np.bincount(self.owners, weights=values, minlength=len(self))
        return np.where(self.n_relevant > 0, sums, np.nan)


def hit(rankings: Rankings, k: int) -> Values:
    """1 if any of T is among the first k, else 0; its mean is the hit rate (HR)."""
    found = rankings.sum(rankings.ranks <= k)
    found[found > 1.0] = 1.0
    return found


def recall(rankings: Rankings, k: int) -> Values:
    """Hits among the first k, divided by |T|."""
    return rankings.sum(rankings.ranks <= k) / np.maximum(rankings.n_relevant, 1)


def precision(rankings: Rankings, k: int) -> Values:
    """Hits among the first k, divided by k (also where |T| or the catalog is smaller)."""
    return rankings.sum(rankings.ranks <= k) / k


def ndcg(rankings: Rankings, k: int) -> Values:
    """Sum of 1 / log2(rank + 1) over the hits, divided by that of min(|T|, k) hits in front."""
    k = min(k, int(max(rankings.ranks.max(initial=1), rankings.n_relevant.max(initial=1))))
    discounts = 1.0 / np.log2(np.arange(2, k + 2))  # to the last rank there is, however large k is
    best: Values = np.concatenate([[1.0], discounts.cumsum()])
    is_hit = rankings.ranks <= k
    gains = np.where(is_hit, discounts[np.where(is_hit, rankings.ranks - 1, 0)], 0.0)
    return rankings.sum(gains) / best[np.minimum(rankings.n_relevant, k)]


def average_precision(rankings: Rankings, k: int) -> Values:
    """Sum over the hits of the precision at their ranks, divided by min(|T|, k)."""
    order = np.lexsort((rankings.ranks, rankings.owners))
    ranks = rankings.ranks[order]
    n_found = np.arange(len(ranks)) - rankings.offsets[rankings.owners] + 1
    precisions = np.where(ranks <= k, n_found / ranks, 0.0)
    return rankings.sum(precisions) / np.clip(rankings.n_relevant, 1, k)


def reciprocal_rank(rankings: Rankings) -> Values:
    """1 / rank of the first of T; its mean is the MRR. There is no cut-off."""
    values = np.full(len(rankings), np.nan)
    some = rankings.n_relevant > 0
    if some.any():
        values[some] = 1.0 / np.minimum.reduceat(rankings.ranks, rankings.offsets[:-1][some])
    return values


METRICS: dict[str, Callable[[Rankings, int], Values]] = {
    "hr": hit,
    "ndcg": ndcg,
    "recall": recall,
    "precision": precision,
    "map": average_precision,
}
"""Metrics with a cut-off, by the name that stands before "@k"."""

DEFAULT_METRICS = ("hr", "ndcg", "mrr", "recall", "precision")


def metric_names(metrics: Iterable[str], ks: Iterable[int]) -> tuple[str, ...]:
    """Return the full names, such as hr@10, of metrics at some cut-offs; mrr has none."""
    cutoffs = tuple(ks)
    names = [[m] if m == "mrr" else [f"{m}@{k}" for k in cutoffs] for m in metrics]
    return tuple(name for group in names for name in group)


def measure(rankings: Rankings, name: str) -> Values:
    """Return a metric of each ranking by its full name, such as ndcg@10 or mrr.

    Raises:
        ConfigError: There is no such metric, or its cut-off is no positive number.
    """
    if name == "mrr":
        return reciprocal_rank(rankings)
    metric, _, k = name.partition("@")
    if metric not in METRICS:
        known = [f"{m}@k" for m in METRICS] + ["mrr"]
        close = did_you_mean(metric, [*METRICS, "mrr"])
        raise ConfigError(f"metric {name!r} is not known{close} (metrics: {', '.join(known)})")
    if not re.fullmatch("[1-9][0-9]*", k):
        raise ConfigError(f"metric {name!r} has no cut-off; write it as {metric}@10")
    return METRICS[metric](rankings, int(k))
