"""What a dataset holds, as tables: counts, densities, activity, and how behaviors overlap.

Axes: U users, I items, B behaviors.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cigf.data.dataset import Dataset, contains, pair_keys, sorted_unique
from cigf.data.splitting import Split

Ints = NDArray[np.int64]

MAX_LISTED = 6
"""Up to so many behaviors, subsets that no pair has are listed too (with 0)."""


@dataclass(frozen=True, eq=False)
class Description:
    """The counts of a dataset.

    Args:
        n_users: U.
        n_items: I.
        behaviors: One row per behavior: behavior, n_pairs, density (n_pairs / (U I)), n_users and
            n_items (with at least one pair), mean_per_user, median_per_user and max_per_user (of
            all U), target_share (pairs that are target pairs too), share_of_target (target pairs
            that are pairs of this behavior too), first and last (UTC; of a split those of its
            training pairs, because times of withheld ones are not kept; null without times).
        activity: behavior, n_interactions, n_users: how many users have exactly that many pairs
            of the behavior, 0 included; the paper's figure 2.
        overlaps: subset (names joined by " + "), one true/false column per behavior, n_pairs
            (pairs that have exactly these behaviors), n_users (users with such a pair); the
            paper's figure 10.
        held_out: part, behavior, n_pairs, n_users, of a split.
        split: How the split was made, in words.
    """

    n_users: int
    n_items: int
    behaviors: pl.DataFrame
    activity: pl.DataFrame
    overlaps: pl.DataFrame
    held_out: pl.DataFrame
    split: str

    @property
    def behavior_names(self) -> list[str]:
        """The behaviors in their order, the target last."""
        return self.behaviors["behavior"].to_list()

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values; tables as lists of rows, times as ISO 8601."""
        times = pl.col("first", "last").dt.to_string("%Y-%m-%dT%H:%M:%SZ")
        return {
            "n_users": self.n_users,
            "n_items": self.n_items,
            "split": self.split,
            "behaviors": self.behaviors.with_columns(times).to_dicts(),
            "activity": self.activity.to_dicts(),
            "overlaps": self.overlaps.to_dicts(),
            "held_out": self.held_out.to_dicts(),
        }


def describe(data: Split | Dataset) -> Description:
    """Count what a dataset holds.

    Args:
        data: A dataset, or a split: then all that is known at test time is counted, and the
            held-out pairs apart from it.
    """
    if isinstance(data, Split):
        known, times = data.history("test"), data.train
        held_out, words = _count_held_out(data), data.description
    else:
        known = times = data
        held_out, words = _held_out_table([]), ""
    return Description(
        n_users=known.n_users,
        n_items=known.n_items,
        behaviors=_count_behaviors(known, times),
        activity=_count_activity(known),
        overlaps=_count_overlaps(known),
        held_out=held_out,
        split=words,
    )


def _count_behaviors(known: Dataset, timed: Dataset) -> pl.DataFrame:
    target = pair_keys(known.target)
    rows = []
    for index, name in enumerate(known.behaviors):
        matrix = known.interactions[index]
        keys = pair_keys(matrix)
        per_user = np.diff(matrix.indptr)
        both = int(contains(target, keys).sum())
        rows.append(
            {
                "behavior": name,
                "n_pairs": matrix.nnz,
                "density": _ratio(matrix.nnz, known.n_users * known.n_items),
                "n_users": int((per_user > 0).sum()),
                "n_items": int((np.bincount(matrix.indices, minlength=1) > 0).sum()),
                "mean_per_user": _ratio(matrix.nnz, known.n_users),
                "median_per_user": float(np.median(per_user)) if known.n_users else 0.0,
                "max_per_user": int(per_user.max(initial=0)),
                "target_share": _ratio(both, matrix.nnz),
                "share_of_target": _ratio(both, len(target)),
                **_time_range(timed, index),
            }
        )
    times = {"first": pl.Datetime("ms"), "last": pl.Datetime("ms")}
    return pl.DataFrame(rows, schema_overrides=times)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _time_range(dataset: Dataset, index: int) -> dict[str, int | None]:
    times = dataset.times[index]
    if times is None or not len(times):
        return {"first": None, "last": None}
    return {"first": int(times.min()), "last": int(times.max())}


def _count_activity(dataset: Dataset) -> pl.DataFrame:
    tables = []
    for name, matrix in zip(dataset.behaviors, dataset.interactions, strict=True):
        values, counts = np.unique(np.diff(matrix.indptr), return_counts=True)
        columns = {"n_interactions": values.astype(np.int64), "n_users": counts.astype(np.int64)}
        tables.append(pl.DataFrame(columns).select(pl.lit(name).alias("behavior"), pl.all()))
    return pl.concat(tables)


def _count_overlaps(dataset: Dataset) -> pl.DataFrame:
    """Give each pair a bit per behavior; count pairs and users per combination of bits."""
    keys = [pair_keys(matrix) for matrix in dataset.interactions]
    pairs = sorted_unique(np.concatenate(keys))
    codes = np.zeros(len(pairs), dtype=np.int64)
    for bit, own in enumerate(keys):
        codes |= contains(own, pairs).astype(np.int64) << bit
    listed = np.arange(1, 1 << len(keys)) if len(keys) <= MAX_LISTED else sorted_unique(codes)
    places = np.searchsorted(listed, codes)
    n_pairs = np.bincount(places, minlength=len(listed)).tolist()
    users = sorted_unique(places * max(dataset.n_users, 1) + pairs // max(dataset.n_items, 1))
    n_users = np.bincount(users // max(dataset.n_users, 1), minlength=len(listed)).tolist()
    counted = zip(listed.tolist(), n_pairs, n_users, strict=True)
    rows = [_subset_row(dataset, *each) for each in counted]
    return pl.DataFrame(rows, infer_schema_length=None)


def _subset_row(dataset: Dataset, code: int, n_pairs: int, n_users: int) -> dict[str, Any]:
    flags = {name: bool(code >> bit & 1) for bit, name in enumerate(dataset.behaviors)}
    subset = " + ".join(name for name, inside in flags.items() if inside)
    return {"subset": subset, **flags, "n_pairs": n_pairs, "n_users": n_users}


def _count_held_out(split: Split) -> pl.DataFrame:
    return _held_out_table(
        [
            {
                "part": part,
                "behavior": name,
                "n_pairs": len(pairs),
                "n_users": len(np.unique(pairs.users)),
            }
            for part, by_behavior in (("valid", split.valid), ("test", split.test))
            for name, pairs in by_behavior.items()
        ]
    )


def _held_out_table(rows: list[dict[str, Any]]) -> pl.DataFrame:
    schema = {"part": pl.String, "behavior": pl.String, "n_pairs": pl.Int64, "n_users": pl.Int64}
    return pl.DataFrame(rows, schema=schema)
