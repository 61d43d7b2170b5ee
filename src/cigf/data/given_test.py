"""Test pairs from a file: found in the dataset's rows and checked against the training data."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cigf.data.dataset import Dataset, contains, pair_keys
from cigf.data.holdouts import held_out_pairs
from cigf.data.ids import UNKNOWN, IdMap
from cigf.data.notes import Notes
from cigf.data.schema import BEHAVIOR, ITEM, USER, Interactions
from cigf.data.splitting import HeldOut
from cigf.errors import DataError

SHOWN = 3


def given_held_out(
    test: Interactions, dataset: Dataset, skip: bool, notes: Notes
) -> dict[str, HeldOut]:
    """Return the test pairs per behavior, in row numbers.

    Args:
        test: The test pairs with their behaviors.
        dataset: All training events; test pairs that are in it too are named, not taken out.
        skip: Leave out pairs of unknown users or items instead of refusing them.
        notes: Where left-out pairs are counted.

    Raises:
        DataError: A pair's user or item is not in training, or the pair is itself.
    """
    known, users, items = _find(test.events, dataset, skip, notes)
    held_out = {}
    for index, name in enumerate(dataset.behaviors):
        chosen = known & (test.events[BEHAVIOR].to_physical().to_numpy() == index)
        if chosen.any():
            held_out[name] = held_out_pairs(users[chosen], items[chosen], dataset.n_items)
            notes.drop("test pairs given twice", int(chosen.sum()) - len(held_out[name]))
            _check_not_in_training(held_out[name], dataset, index, skip, notes)
    return held_out


def _find(
    events: pl.DataFrame, dataset: Dataset, skip: bool, notes: Notes
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    users, items = dataset.users.find(events[USER]), dataset.items.find(events[ITEM])
    known = (users != UNKNOWN) & (items != UNKNOWN)
    if not skip:
        _refuse_unknown(events[USER], users, dataset.users)
        _refuse_unknown(events[ITEM], items, dataset.items)
    notes.drop("test pairs with a user or item not in training", int((~known).sum()))
    return known, users, items


def _refuse_unknown(ids: pl.Series, rows: NDArray[np.int64], known: IdMap) -> None:
    unknown = ids.filter(pl.Series(rows == UNKNOWN)).unique(maintain_order=True)
    if len(unknown):
        entity = known.entity
        raise DataError(
            f"test pairs: {len(unknown):,} {entity}s are not in training ({_examples(unknown)}), "
            f"where {len(known):,} {entity}s are known; add their events, or pass --on-error skip "
            "to leave these pairs out"
        )


def _examples(ids: pl.Series) -> str:
    shown = ", ".join(map(repr, ids.head(SHOWN).to_list()))
    return shown + (", ..." if len(ids) > SHOWN else "")


def _check_not_in_training(
    pairs: HeldOut, dataset: Dataset, index: int, skip: bool, notes: Notes
) -> None:
    keys = pairs.users * dataset.n_items + pairs.items
    both = contains(pair_keys(dataset.interactions[index]), keys)
    if not both.any():
        return
    name = dataset.behaviors.names[index]
    if not skip:
        first = np.flatnonzero(both)[:SHOWN]
        users, items = pairs.users[first], pairs.items[first]
        named = zip(dataset.users.external(users), dataset.items.external(items), strict=True)
        shown = ", ".join(f"user {u!r} item {i!r}" for u, i in named)
        raise DataError(
            f"test pairs: {int(both.sum()):,} are also in training as {name} ({shown}); a model "
            "would have seen the answer; take them out of one of the two, or pass --on-error skip "
            "to take them out of training"
        )
    notes.drop("test pairs taken out of training", int(both.sum()))
