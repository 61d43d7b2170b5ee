"""Logs as large as the published ones, with power-law degrees: drawn with NumPy, in a few seconds.

Every behavior's pairs are drawn independently: a user and an item, each by its rank r with a
probability proportional to (r + q)^-s, until there are as many different pairs as wanted. Numbers
of users and items are in random order. There are no tastes in such a log: a user's items have
nothing in common, so the rows that a sum over edges reads lie as far apart as they can.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cigf.data.behaviors import Behaviors
from cigf.data.dataset import Dataset, Matrix, contains, matrix_from_keys, sorted_unique
from cigf.data.dataset_store import save_split
from cigf.data.ids import IdMap
from cigf.data.splitting import HeldOut, Split

Keys = NDArray[np.int64]

_USERS, _ITEMS = (0.6, 100.0), (0.8, 50.0)
"""s and q: the most active user of the IJCAI size has some 5,000 pairs, the most popular item
20,000."""


@dataclass(frozen=True)
class Size:
    """How large a log is.

    Args:
        n_users: U.
        n_items: I.
        pairs: Different pairs of each behavior, the target's last.
        n_held_out: Users of whom one pair of the target is held out.
    """

    n_users: int
    n_items: int
    pairs: tuple[int, ...]
    n_held_out: int = 10_000

    @property
    def n_pairs(self) -> int:
        """Pairs of all behaviors."""
        return sum(self.pairs)

    def times(self, factor: float) -> "Size":
        """A log of so many times the pairs, users and items."""
        users, items, *pairs = (
            max(1, round(factor * each)) for each in (self.n_users, self.n_items, *self.pairs)
        )
        return Size(users, items, tuple(pairs), min(self.n_held_out, users))


IJCAI = Size(423_423, 874_328, (30_800_000, 2_900_000, 1_400_000, 1_103_512))
"""36,203,512 pairs, as many as the published IJCAI data set has; how they divide is our guess."""

TAOBAO = Size(147_894, 99_037, (6_300_000, 267_131, 650_000, 441_795))
"""7,658,926 pairs, as many as the published Taobao data set has; of favorites as many, too."""

NAMES = ("view", "favorite", "cart", "buy")


def write_dataset(folder: Path, size: Size, seed: int = 0) -> None:
    """Write a dataset folder with a log of a size."""
    generator = np.random.default_rng(seed)
    shape = (size.n_users, size.n_items)
    users, items = (generator.permutation(n).astype(np.int32) for n in shape)
    keys = [_draw_pairs(users, items, n, generator) for n in size.pairs]
    test = _hold_out(keys[-1], shape, size.n_held_out, generator)
    matrices = tuple(matrix_from_keys(each, shape) for each in keys)
    behaviors = Behaviors(NAMES[-len(matrices) :])
    user_ids, item_ids = (
        IdMap(pl.Series("id", np.arange(n)), name)
        for n, name in zip(shape, ("user", "item"), strict=True)
    )
    train = Dataset(behaviors, user_ids, item_ids, matrices, (None,) * len(matrices))
    nothing: tuple[Matrix, ...] = tuple(
        matrix_from_keys(np.empty(0, np.int64), shape) for _ in matrices
    )
    save_split(Split(train, nothing, {}, {behaviors.target_name: test}), folder)


def _draw_pairs(
    users: NDArray[np.int32], items: NDArray[np.int32], n: int, generator: np.random.Generator
) -> Keys:
    """Return n different keys user * I + item, ascending."""
    keys = np.empty(0, np.int64)
    while len(keys) < n:
        missing = n - len(keys)
        more = missing + missing // 8 + 8
        chosen = users[_draw_ranks(len(users), more, *_USERS, generator)].astype(np.int64)
        chosen *= len(items)
        chosen += items[_draw_ranks(len(items), more, *_ITEMS, generator)]
        keys = sorted_unique(np.concatenate([keys, chosen]))
    surplus = generator.choice(len(keys), len(keys) - n, replace=False, shuffle=False)
    return np.delete(keys, surplus)


def _draw_ranks(
    n: int, size: int, s: float, q: float, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Draw ranks from 0 to n - 1 with density (r + q)^-s, by its inverse distribution."""
    low, high = q ** (1.0 - s), (n + q) ** (1.0 - s)
    drawn = generator.random(size)
    drawn *= high - low
    drawn += low
    np.power(drawn, 1.0 / (1.0 - s), out=drawn)
    return np.minimum((drawn - q).astype(np.int64), n - 1)


def _hold_out(
    keys: Keys, shape: tuple[int, int], n: int, generator: np.random.Generator
) -> HeldOut:
    """Draw one new pair for each of n users."""
    users = np.sort(generator.choice(shape[0], n, replace=False))
    items = generator.integers(shape[1], size=n)
    while (known := contains(keys, users * shape[1] + items)).any():
        items[known] = generator.integers(shape[1], size=int(known.sum()))
    return HeldOut(users, items)
