"""Logs and toy data whose right answers are known, because they were planted.

Axes: U users, I items; v visits of a user to an item's page, each leaving one or more events.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cigf.data.behaviors import Behaviors
from cigf.data.dataset import Dataset, build_matrix, matrix_from_parts
from cigf.data.ids import IdMap
from cigf.data.splitting import HeldOut, Split
from cigf.errors import DataError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

SHELVES = (
    *("books", "coffee", "garden", "games", "shoes", "tea", "bikes", "music"),
    *("lamps", "toys", "hats", "cameras", "pens", "rugs", "snacks", "tools"),
    *("vases", "watches", "yarn", "skis", "tents", "puzzles", "candles", "bags"),
)
"""Names of the taste clusters; they begin the item ids, so that a reader sees what was planted."""

SHELF_SIZE = 40
"""Items per taste cluster, about."""
FIRST_DAY = 1_735_689_600_000
"""2025-01-01 00:00 UTC in milliseconds: where a generated log starts."""
MINUTE = 60_000.0
DAY = 1440 * MINUTE

ON_TASTE = 0.8
"""Share of visits that follow the user's taste; the others follow popularity alone."""
CONVERSION = (0.12, 0.42)
"""Chance to go one step deeper in the funnel: off taste, on taste."""
UNSEEN = 0.4
"""Share of deeper visits of which only the last step was logged (bought elsewhere, say)."""


@dataclass(frozen=True)
class _Visits:
    """Who came to what and how far she went; all of shape (v,)."""

    users: Ints
    on_taste: Flags
    first: Ints
    counts: Ints


def generate_log(
    n_users: int,
    n_items: int,
    n_interactions: int,
    behaviors: Sequence[str] = ("view", "cart", "buy"),
    *,
    generator: np.random.Generator,
    n_days: int = 60,
) -> pl.DataFrame:
    """Return a shop's event log with planted tastes, in the order of time.

    Users and items follow power laws. Each user has two tastes, and a taste is a shelf of about
    40 items; sessions stay on one shelf, apart from visits to what is popular everywhere. A visit
    goes down the funnel with a chance that is higher on taste, so deeper behaviors tell more but
    are rarer, and some purchases come without a logged view: the items to discover.

    Args:
        n_users: Users; each has at least one event if there are enough events.
        n_items: Items; the least popular ones may have no event.
        n_interactions: Rows of the log, exactly.
        behaviors: Funnel order, the target last.
        generator: Source of all draws: the same generator state gives the same log.
        n_days: Days between the first and the last session.

    Returns:
        Columns user_id and item_id (strings), behavior, timestamp (ms since 1970, UTC).

    Raises:
        DataError: A size is below 1 or a behavior is named twice.
    """
    names = Behaviors(tuple(behaviors))
    for name, size in [("users", n_users), ("items", n_items), ("interactions", n_interactions)]:
        if size < 1:
            raise DataError(f"generate: {size} {name} asked for; at least 1 is needed")
    visits = _draw_visits(n_users, n_interactions, len(names), generator)
    shelves = _stock_shelves(n_items, generator)
    sessions, times = _draw_sessions(visits.users, n_days, generator)
    items = _draw_items(visits, sessions, n_users, shelves, generator)
    rows = np.repeat(np.arange(len(items)), visits.counts)
    offsets = np.arange(len(rows)) - (np.cumsum(visits.counts) - visits.counts)[rows]
    times = times[rows] + _funnel_delays(offsets, generator)
    order = np.argsort(times, kind="stable")
    depths = (visits.first[rows] + offsets)[order]
    rows = rows[order]
    return pl.DataFrame(
        {
            "user_id": _user_ids(n_users).gather(visits.users[rows]),
            "item_id": shelves.ids.gather(items[rows]),
            "behavior": pl.Series(list(names)).gather(depths),
            "timestamp": FIRST_DAY + times[order].astype(np.int64),
        }
    )


def _draw_visits(
    n_users: int, n_events: int, n_behaviors: int, generator: np.random.Generator
) -> _Visits:
    """Draw just as many visits, sorted by user, as leave `n_events` events."""
    on_taste = generator.random(n_events) < ON_TASTE
    chance = np.where(on_taste, CONVERSION[1], CONVERSION[0])
    steps = generator.random((n_events, n_behaviors - 1)) < chance[:, None]
    depths = np.cumprod(steps, axis=1).sum(axis=1)
    first = np.where(generator.random(n_events) < UNSEEN, depths, 0)
    counts = depths - first + 1
    n_visits = int(np.searchsorted(np.cumsum(counts), n_events)) + 1
    counts[n_visits - 1] -= counts[:n_visits].sum() - n_events
    users = _draw_users(n_users, n_visits, generator)
    order = np.argsort(users, kind="stable")
    return _Visits(users[order], on_taste[order], first[order], counts[order])


def _draw_users(n_users: int, n_visits: int, generator: np.random.Generator) -> Ints:
    """Every user once, then users by their activity, which is log-normal (heavy-tailed)."""
    activity = generator.lognormal(0.0, 0.9, n_users)
    more = _draw_by_weight(activity, generator.random(max(n_visits - n_users, 0)))
    return np.concatenate([np.arange(n_users), more])[:n_visits]


def _draw_by_weight(weights: Floats, uniform: Floats) -> Ints:
    """Return positions with probabilities proportional to `weights`, by the inverse CDF."""
    bounds = np.cumsum(weights)
    places: Ints = np.searchsorted(bounds, uniform * bounds[-1], side="right")
    return np.clip(places, 0, len(weights) - 1)


@dataclass(frozen=True)
class _Shelves:
    """Items in shelf order: ids, cumulative popularity (I + 1,), first item per shelf (S + 1,)."""

    ids: pl.Series
    popularity: Floats
    starts: Ints


def _stock_shelves(n_items: int, generator: np.random.Generator) -> _Shelves:
    n_shelves = max(1, n_items // SHELF_SIZE)
    starts = np.linspace(0, n_items, n_shelves + 1).astype(np.int64)
    weights = (1.0 + generator.permutation(n_items)) ** -0.8
    width = len(str(int(np.diff(starts).max())))
    ids = [
        f"{_shelf_name(s)}-{k + 1:0{width}d}"
        for s in range(n_shelves)
        for k in range(int(starts[s + 1] - starts[s]))
    ]
    return _Shelves(pl.Series(ids), np.concatenate([[0.0], np.cumsum(weights)]), starts)


def _shelf_name(shelf: int) -> str:
    series, place = divmod(shelf, len(SHELVES))
    return SHELVES[place] + (str(series + 1) if series else "")


def _draw_sessions(users: Ints, n_days: int, generator: np.random.Generator) -> tuple[Ints, Floats]:
    """Cut each user's visits into sessions; return the session and the time (ms) of each visit."""
    opens = generator.random(len(users)) < 0.25
    opens[0] = True
    opens[1:] |= users[1:] != users[:-1]
    sessions = np.cumsum(opens) - 1
    days = generator.integers(0, max(n_days, 1), int(sessions[-1]) + 1)
    hours = generator.beta(4.0, 2.0, len(days))  # few at night, most in the evening
    gaps = generator.exponential(1.5 * MINUTE, len(users))
    return sessions, ((days + hours) * DAY)[sessions] + _running_sum(gaps, opens)


def _running_sum(values: Floats, restarts: Flags) -> Floats:
    """Cumulative sum that starts again from 0 at each restart (the first entry is one)."""
    totals: Floats = np.cumsum(values)
    groups = np.cumsum(restarts) - 1
    starts: Floats = totals[restarts][groups]
    return totals - starts


def _draw_items(
    visits: _Visits,
    sessions: Ints,
    n_users: int,
    shelves: _Shelves,
    generator: np.random.Generator,
) -> Ints:
    tastes = generator.integers(0, len(shelves.starts) - 1, (n_users, 2))
    second = (generator.random(int(sessions[-1]) + 1) < 0.3).astype(np.int64)
    shelf = tastes[visits.users, second[sessions]]
    low = np.where(visits.on_taste, shelves.popularity[shelves.starts[shelf]], 0.0)
    high = np.where(
        visits.on_taste, shelves.popularity[shelves.starts[shelf + 1]], shelves.popularity[-1]
    )
    places = low + (high - low) * generator.random(len(shelf))
    items = np.searchsorted(shelves.popularity, places, side="right") - 1
    return np.minimum(items, len(shelves.ids) - 1)


def _funnel_delays(offsets: Ints, generator: np.random.Generator) -> Floats:
    """Milliseconds from the visit to each of its events: minutes a step, or days now and then."""
    late = generator.random(len(offsets)) < 0.15
    delays = generator.exponential(np.where(late, 2 * DAY, 4 * MINUTE))
    return _running_sum(delays, offsets == 0)


def _user_ids(n_users: int) -> pl.Series:
    width = len(str(n_users))
    return pl.Series([f"u{user + 1:0{width}d}" for user in range(n_users)])


def checkerboard(
    n_users: int = 13,
    n_items: int = 17,
    behaviors: Sequence[str] = ("view", "cart", "buy"),
    n_groups: int = 2,
) -> Split:
    """Return toy data with one right answer per user: the board's withheld diagonal.

    User u interacts, under every behavior, with each item i of her own color (i mod `n_groups`
    equals u mod `n_groups`), except one of them. That one is held out for validation and test
    alike; everything else of her color is in training, so a sound model puts it first among all
    the items that she has not bought.

    Args:
        n_users: U.
        n_items: I; at least two items per color.
        behaviors: Names, the target last.
        n_groups: Number of colors.

    Raises:
        DataError: Fewer than two items per color.
    """
    if n_items < 2 * n_groups:
        raise DataError(f"checkerboard: {n_items} items for {n_groups} colors; give 2 per color")
    names = Behaviors(tuple(behaviors))
    users, items = np.divmod(np.arange(n_users * n_items), n_items)
    answers = _diagonal(n_users, n_items, n_groups)
    kept = (users % n_groups == items % n_groups) & (items != answers[users])
    shape = (n_users, n_items)
    board = build_matrix(users[kept], items[kept], shape)
    train = Dataset(
        names,
        IdMap(_user_ids(n_users), "user"),
        IdMap(pl.Series([f"i{item:0{len(str(n_items))}d}" for item in range(n_items)]), "item"),
        (board,) * len(names),
        (None,) * len(names),
    )
    nothing = matrix_from_parts(np.zeros(n_users + 1, np.int64), np.empty(0, np.int32), shape)
    held_out = {names.target_name: HeldOut(np.arange(n_users), answers)}
    return Split(train, (nothing,) * len(names), held_out, held_out, {}, "checkerboard")


def _diagonal(n_users: int, n_items: int, n_groups: int) -> Ints:
    """The item of each user's color that is withheld: the next one of the color per user."""
    users = np.arange(n_users)
    color = users % n_groups
    n_of_color = (n_items - color + n_groups - 1) // n_groups
    return color + n_groups * ((users // n_groups) % n_of_color)
