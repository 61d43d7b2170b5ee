"""Small logs, and what a split of them holds in external ids."""

from typing import Any

import numpy as np
import polars as pl

from cigf.data.dataset import Matrix, pair_rows
from cigf.data.options import PrepareOptions
from cigf.data.prepare import PrepareReport, build_split
from cigf.data.readers import read_events, read_test_pairs
from cigf.data.splitting import HeldOut, Split

NAMES = ("view", "cart", "buy")
Row = tuple[Any, Any, Any, Any]
Pairs = set[tuple[Any, Any]]


def frame(rows: list[Row]) -> pl.DataFrame:
    columns = zip(("user_id", "item_id", "behavior", "timestamp"), range(4), strict=True)
    return pl.DataFrame(
        [pl.Series(name, [row[k] for row in rows], strict=False) for name, k in columns]
    )


def split_of(
    rows: list[Row], test: Any = None, *, times: bool = True, **options: Any
) -> tuple[Split, PrepareReport]:
    chosen = PrepareOptions(**({"n_candidates": 3, "time_col": None if times else ""} | options))
    held_out = None if test is None else read_test_pairs(test, chosen)
    return build_split(read_events(frame(rows), chosen), chosen, held_out)


def named(split: Split, users: Any, items: Any) -> Pairs:
    ids = split.train.users.external(np.asarray(users)), split.train.items.external(items)
    return set(zip(*ids, strict=True))


def pairs_of(split: Split, matrix: Matrix) -> Pairs:
    return named(split, pair_rows(matrix), matrix.indices)


def held(split: Split, found: HeldOut | None) -> Pairs:
    return set() if found is None else named(split, found.users, found.items)


def behaviors_of(rows: list[Row], name: str) -> Pairs:
    return {(user, item) for user, item, behavior, _ in rows if behavior == name}


def log(n_users: int = 11, n_items: int = 13, per_user: int = 5) -> list[Row]:
    """A funnel: every user views, carts some, buys fewer; all times differ."""
    rows: list[Row] = []
    for user in range(n_users):
        for step in range(per_user):
            item = f"i{(user * 3 + step * 5) % n_items:02}"
            for depth, name in enumerate(NAMES):
                if depth <= (user + step) % 4:
                    rows.append((user, item, name, 10_000 + len(rows)))
    return rows


def shuffled(rows: list[Row]) -> list[Row]:
    """Give the events other times, so that users and items come in any order."""
    rows = sorted(rows, key=lambda row: (row[3] * 7919) % 104_729)
    return [(*row[:3], 10_000 + place) for place, row in enumerate(rows)]


def last_pairs(rows: list[Row], name: str) -> dict[Any, Any]:
    """Return each user's item of that behavior with the latest last time."""
    times: dict[tuple[Any, Any], int] = {}
    for user, item, behavior, time in rows:
        if behavior == name:
            times[user, item] = max(time, times.get((user, item), 0))
    latest = sorted((time, item, user) for (user, item), time in times.items())
    return {user: item for _, item, user in latest}
