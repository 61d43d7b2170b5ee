"""Events of users that are to be represented by them: read, numbered, and put on history."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cigf.data.dataset import Dataset, Matrix, build_matrix
from cigf.data.frames import read_frame
from cigf.data.ids import UNKNOWN, IdMap
from cigf.data.schema import BEHAVIOR, ITEM, USER
from cigf.errors import ConfigError, DataError

Ids = str | int | np.generic | Iterable[Any]
"""One id, or several in a list, an array or a Polars or pandas series."""

Events = Any
"""Of one user: a mapping from behaviors to item ids. Of one or several: a Polars, pandas or Arrow
frame with the columns behavior and item_id, and of several users user_id."""

OnHistory = Literal["add", "replace"]
"""What events do to what is known of a known user: add to it, or stand in its place."""


@dataclass(frozen=True, eq=False)
class UserEvents:
    """Some users and all that they did.

    Args:
        ids: The users' external ids; null for one who was not named.
        rows: Their rows in the model, `UNKNOWN` (-1) where they have none; shape (n,).
        history: Who did what; its users are 0..n-1, its items and behaviors the model's.
    """

    ids: pl.Series
    rows: NDArray[np.int64]
    history: Dataset


def ids_series(ids: Ids) -> pl.Series:
    """Return ids as a series; an id alone is one id, not a sequence of letters.

    Whole numbers that came as decimals, as pandas has them where one is missing, are whole again.
    """
    if not isinstance(ids, pl.Series):
        each = [ids] if isinstance(ids, str | int | np.generic) else list(ids)
        ids = pl.Series("id", each, strict=False)
    if not ids.dtype.is_float():
        return ids
    ids = ids.fill_nan(None)
    whole = ids.cast(pl.Int64, strict=False)
    return whole if whole.eq_missing(ids).all() else ids


def user_events(
    events: Events, known: Dataset, *, user: Any = None, history: OnHistory = "add"
) -> UserEvents:
    """Number events by the ids of a model; events of items it does not know are passed over.

    Args:
        events: See `Events`.
        known: Ids and histories of the model.
        user: Whose events they are, where they do not say so; None: an unknown user's.
        history: See `OnHistory`.

    Raises:
        DataError: A column is missing, or a behavior is unknown.
        ConfigError: `user` is given and the events name users too.
    """
    if isinstance(events, Mapping):
        ids, owners, items = _of_one_user(events, user, known)
    else:
        ids, owners, items = _of_frame(events, user, known)
    rows = known.users.find(ids)
    shape = (len(ids), known.n_items)
    matrices = []
    for behavior, matrix in enumerate(known.interactions):
        mine, theirs = owners[behavior], items[behavior]
        if history == "add":
            more = _history_of(matrix, rows)
            mine, theirs = np.append(mine, more[0]), np.append(theirs, more[1])
        matrices.append(build_matrix(mine, theirs, shape))
    numbers = IdMap(pl.Series("id", np.arange(len(ids))), "user")
    none = (None,) * len(matrices)
    return UserEvents(
        ids, rows, Dataset(known.behaviors, numbers, known.items, tuple(matrices), none)
    )


_Numbered = tuple[pl.Series, list[NDArray[np.int64]], list[NDArray[np.int64]]]
"""Ids of the users, and per behavior the user and the item of each event."""


def _of_one_user(events: Mapping[str, Ids], user: Any, known: Dataset) -> _Numbered:
    items = [np.empty(0, np.int64) for _ in known.behaviors]
    for name, ids in events.items():
        rows = known.items.find(ids_series(ids))
        items[known.behaviors.index(name)] = rows[rows != UNKNOWN]
    return _one(user), [np.zeros_like(rows) for rows in items], items


def _one(user: Any) -> pl.Series:
    return pl.Series("id", [user], dtype=pl.String if user is None else None, strict=False)


def _of_frame(events: Any, user: Any, known: Dataset) -> _Numbered:
    columns = (USER, ITEM, BEHAVIOR)
    table = read_frame(events, lambda names: [name for name in names if name in columns])
    frame = table.whole()
    for name in (ITEM, BEHAVIOR):
        if name not in frame.columns:
            given = ", ".join(table.columns)
            raise DataError(f"events: column {name!r} not found (columns: {given})")
    if USER in frame.columns and user is not None:
        raise ConfigError(
            f"user={user!r} given, but the events have a column {USER}; leave out one of the two"
        )
    if USER in frame.columns:
        users = ids_series(frame[USER])
        ids = users.drop_nulls().unique(maintain_order=True)
        owners = IdMap(ids, "user").find(users)
    else:
        ids, owners = _one(user), np.zeros(frame.height, np.int64)
    items = known.items.find(frame[ITEM])
    names = frame[BEHAVIOR].cast(pl.String)
    usable = (items != UNKNOWN) & (owners != UNKNOWN)
    chosen = {known.behaviors.index(name): name for name in names.unique().drop_nulls()}
    each = [
        usable & (names == chosen[b]).fill_null(False).to_numpy()
        if b in chosen
        else np.zeros(len(items), bool)
        for b in range(len(known.behaviors))
    ]
    return ids, [owners[keep] for keep in each], [items[keep] for keep in each]


def _history_of(
    matrix: Matrix, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return user (position in `rows`) and item of all pairs of the known ones among some rows."""
    (known,) = np.nonzero(rows != UNKNOWN)
    starts, stops = (matrix.indptr[rows[known] + shift].astype(np.int64) for shift in (0, 1))
    lengths = stops - starts
    shifts = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    return np.repeat(known, lengths), matrix.indices[np.arange(len(shifts)) + shifts].astype(
        np.int64
    )
