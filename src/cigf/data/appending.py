"""Later events put onto known data: rows of known users and items stay, new ones come behind."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cigf.data.dataset import (
    Dataset,
    Matrix,
    contains,
    matrix_from_keys,
    pair_keys,
    pair_rows,
)
from cigf.data.events import CodedEvents
from cigf.data.holdouts import as_matrices
from cigf.data.ids import UNKNOWN, IdMap
from cigf.data.pairs import pairs_of
from cigf.data.schema import BEHAVIOR, ITEM, TIME, USER, Interactions
from cigf.data.splitting import HeldOut, Split
from cigf.errors import DataError


@dataclass(frozen=True, eq=False)
class Appended:
    """Known data with later events.

    Args:
        known: All pairs, old and new; the rows of old users and items are what they were.
        fresh: The pairs of the new events alone, in the same rows, with their times.
        n_users: Old users.
        n_items: Old items.
        n_events: New events.
    """

    known: Dataset
    fresh: Dataset
    n_users: int
    n_items: int
    n_events: int

    @property
    def n_new_users(self) -> int:
        """Users that were not known."""
        return self.known.n_users - self.n_users

    @property
    def n_new_items(self) -> int:
        """Items that were not known."""
        return self.known.n_items - self.n_items

    def old_pairs(self, old: Dataset, behavior: int) -> NDArray[np.int64]:
        """Return the keys of a behavior's old pairs in the new rows."""
        return _moved(old.interactions[behavior], self.known.n_items)


def everything(split: Split) -> Dataset:
    """Return all pairs of a split, those that were held out among them.

    The times of held-out pairs are not kept anywhere, so where some were, there are none.
    """
    if not any(m.nnz for m in split.withheld) and not any(map(len, split.test.values())):
        return split.train
    return split.history("test").merged(as_matrices(split.train, split.test))


def append_events(old: Dataset, events: Interactions) -> Appended:
    """Put events onto known data.

    Args:
        old: What is known.
        events: What came later, with the same behaviors.

    Raises:
        DataError: An id is of another kind than the known ones, or no pair is new.
    """
    frame = events.events
    users, items = (
        _grown(ids, frame[column]) for ids, column in ((old.users, USER), (old.items, ITEM))
    )
    coded = CodedEvents(
        users.find(frame[USER]),
        items.find(frame[ITEM]),
        frame[BEHAVIOR].to_physical().to_numpy().astype(np.uint8),
        frame[TIME].to_numpy() if events.has_times else None,
    )
    fresh, known = (
        pairs_of(iter([each]), len(old.behaviors), (len(users), len(items))).dataset(
            old.behaviors, users, items
        )
        for each in (coded, _joined(old, coded))
    )
    n_pairs = [sum(m.nnz for m in data.interactions) for data in (known, old)]
    if n_pairs[0] == n_pairs[1]:
        raise DataError(
            f"events: nothing new: the run's data hold the pairs of all {len(frame):,} events "
            "already; give events that came later"
        )
    return Appended(known, fresh, old.n_users, old.n_items, len(frame))


def _joined(old: Dataset, later: CodedEvents) -> CodedEvents:
    """Return old pairs and later events; with times where all have some."""
    timed = [times for times in old.times if times is not None]
    times = None
    if later.times is not None and len(timed) == len(old.times):
        times = np.concatenate([*timed, later.times])
    numbers = np.arange(len(old.behaviors), dtype=np.uint8)
    return CodedEvents(
        np.concatenate([*map(pair_rows, old.interactions), later.users]),
        np.concatenate([*(m.indices for m in old.interactions), later.items], dtype=np.int64),
        np.concatenate([np.repeat(numbers, [m.nnz for m in old.interactions]), later.behaviors]),
        times,
    )


def _grown(known: IdMap, ids: pl.Series) -> IdMap:
    """Return the map with the ids that it lacks behind its own, sorted."""
    unknown = ids.filter(pl.Series(known.find(ids) == UNKNOWN)).unique().sort()
    cast = unknown.cast(known.ids.dtype, strict=False)
    text = unknown.filter(cast.cast(unknown.dtype).ne_missing(unknown))  # "0017" is not 17
    if len(text):
        raise DataError(
            f"events: {known.entity} id {text[0]!r} is text, and the run's {known.entity} ids are "
            "whole numbers; give the events the ids of the run's own log"
        )
    return IdMap(pl.concat([known.ids, cast.rename(known.ids.name)]), known.entity)


def _moved(matrix: Matrix, n_items: int) -> NDArray[np.int64]:
    """Return the keys of a matrix's pairs where there are more items."""
    keys: NDArray[np.int64] = pair_rows(matrix) * n_items + matrix.indices
    return keys


def hold_out_new(appended: Appended, old: Dataset, generator: np.random.Generator) -> HeldOut:
    """Hold out the last new target pair of each user: what old and new model are judged on.

    Only pairs of items that the old data know, and of users of whom something else is known. Where
    the events have no times, a random one.

    Args:
        appended: The data.
        old: What was known before.
        generator: Chooses where there are no times.
    """
    target = old.behaviors.target
    fresh, n_items = appended.fresh.target, appended.known.n_items
    keys = pair_keys(fresh)
    new = ~contains(appended.old_pairs(old, target), keys) & (fresh.indices < appended.n_items)
    n_pairs = _pairs_by_user(appended.known)
    users = keys // n_items
    new &= n_pairs[users] > 1
    times = appended.fresh.times[target]
    order = generator.random(len(keys)) if times is None else times
    place = np.flatnonzero(new)
    place = place[np.lexsort((place, order[place], users[place]))]
    last = np.append(users[place][1:] != users[place][:-1], True)[: len(place)]
    chosen = np.sort(keys[place[last]])
    return HeldOut(*np.divmod(chosen, n_items))


def _pairs_by_user(data: Dataset) -> NDArray[np.int64]:
    counts: NDArray[np.int64] = np.sum(
        [np.diff(matrix.indptr) for matrix in data.interactions], axis=0, dtype=np.int64
    )
    return counts


def first_items(data: Dataset, n_items: int) -> Dataset:
    """Return the data of the first items alone."""
    items = IdMap(data.items.ids.head(n_items), data.items.entity)
    shape = (data.n_users, n_items)
    matrices = []
    for matrix in data.interactions:
        inside = matrix.indices < n_items
        keys = pair_rows(matrix)[inside] * n_items + matrix.indices[inside]
        matrices.append(matrix_from_keys(keys, shape))
    return Dataset(data.behaviors, data.users, items, tuple(matrices), (None,) * len(matrices))


def count_new(appended: Appended, old: Dataset) -> Mapping[str, int]:
    """Return the number of new pairs by behavior."""
    return {
        name: int(now.nnz - before.nnz)
        for name, now, before in zip(
            old.behaviors, appended.known.interactions, old.interactions, strict=True
        )
    }
