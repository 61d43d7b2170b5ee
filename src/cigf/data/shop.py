"""A made-up shop: users, shelves of items, tastes, and what happens in some days of it.

Axes: U users, I items, S shelves; v visits of a user to an item's page, each leaving one or more
events; e events.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

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
"""Items per taste cluster, about, of a catalog of up to `FEW_ITEMS`."""
FEW_ITEMS = 10_000
"""Above, shelves grow as the root of the catalog: 370 items each of 874,328."""
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
class Period:
    """Some days of a shop.

    Args:
        n_events: Events that visits of these days leave, exactly.
        newcomers: First and last + 1 of the users who come for sure, if there are enough visits.
        first_day: Days since the log's begin.
        n_days: Days on which sessions begin.
    """

    n_events: int
    newcomers: tuple[int, int]
    first_day: int
    n_days: int

    @property
    def start(self) -> float:
        """Milliseconds since the log's begin, before which nothing of this period happens."""
        return self.first_day * DAY


@dataclass(frozen=True, eq=False)
class ShopEvents:
    """Events; all of shape (e,).

    Args:
        users: Row of the user.
        items: Row of the item.
        depths: Index of the behavior.
        times: Milliseconds since the log's begin.
    """

    users: Ints
    items: Ints
    depths: Ints
    times: Floats

    def __getitem__(self, chosen: Ints | slice) -> "ShopEvents":
        return ShopEvents(
            self.users[chosen], self.items[chosen], self.depths[chosen], self.times[chosen]
        )

    def followed_by(self, other: "ShopEvents") -> "ShopEvents":
        """Return these events and others in the order of time."""
        joined = ShopEvents(
            np.concatenate([self.users, other.users]),
            np.concatenate([self.items, other.items]),
            np.concatenate([self.depths, other.depths]),
            np.concatenate([self.times, other.times]),
        )
        return joined[np.argsort(joined.times, kind="stable")]

    @classmethod
    def none(cls) -> "ShopEvents":
        """Return no events."""
        nothing = np.empty(0, np.int64)
        return cls(nothing, nothing, nothing, np.empty(0))


@dataclass(frozen=True)
class _Visits:
    """Who came to what and how far she went; all of shape (v,)."""

    users: Ints
    on_taste: Flags
    first: Ints
    counts: Ints


class Shop:
    """A shop whose periods are drawn one at a time, each from a generator of its own.

    The first period that is drawn also draws what all have in common: how active users are, how
    popular items are, and the two tastes (shelves) of each user.

    Args:
        n_users: U.
        n_items: I.
        n_behaviors: Steps of the funnel.
    """

    def __init__(self, n_users: int, n_items: int, n_behaviors: int) -> None:
        self.n_users = n_users
        self.n_items = n_items
        self.n_behaviors = n_behaviors
        n_shelves = max(1, n_items // _shelf_size(n_items))
        self._starts = np.linspace(0, n_items, n_shelves + 1).astype(np.int64)
        self._activity: Floats | None = None
        self._popularity: Floats | None = None
        self._tastes: Ints | None = None

    @cached_property
    def user_ids(self) -> pl.Series:
        """Ids of the users, U: u1, u2 and so on, filled up with zeros."""
        return numbered_ids("u", self.n_users)

    @cached_property
    def item_ids(self) -> pl.Series:
        """Ids of the items, I: name of the shelf and place on it."""
        sizes = np.diff(self._starts)
        names = pl.Series([_shelf_name(shelf) for shelf in range(len(sizes))], dtype=pl.String)
        shelves = np.repeat(np.arange(len(sizes)), sizes)
        places = np.arange(self.n_items) - self._starts[shelves] + 1
        digits = pl.Series(places).cast(pl.String).str.zfill(len(str(int(sizes.max()))))
        return names.gather(shelves) + "-" + digits

    def draw(self, period: Period, generator: np.random.Generator) -> ShopEvents:
        """Return the events of a period, in no order.

        Args:
            period: Its size and days.
            generator: Source of all draws.
        """
        visits = self._draw_visits(period, generator)
        popularity = self._get_popularity(generator)
        sessions, times = _draw_sessions(visits.users, period.n_days, generator)
        items = self._draw_items(visits, sessions, popularity, generator)
        rows = np.repeat(np.arange(len(items)), visits.counts)
        offsets = np.arange(len(rows)) - (np.cumsum(visits.counts) - visits.counts)[rows]
        times = period.start + times[rows] + _funnel_delays(offsets, generator)
        return ShopEvents(visits.users[rows], items[rows], visits.first[rows] + offsets, times)

    def _draw_visits(self, period: Period, generator: np.random.Generator) -> _Visits:
        """Draw just as many visits, sorted by user, as leave the period's events."""
        n_events = period.n_events
        on_taste = generator.random(n_events) < ON_TASTE
        chance = np.where(on_taste, CONVERSION[1], CONVERSION[0])
        steps = generator.random((n_events, self.n_behaviors - 1)) < chance[:, None]
        depths = np.cumprod(steps, axis=1).sum(axis=1)
        first = np.where(generator.random(n_events) < UNSEEN, depths, 0)
        counts = depths - first + 1
        n_visits = int(np.searchsorted(np.cumsum(counts), n_events)) + 1
        counts[n_visits - 1] -= counts[:n_visits].sum() - n_events
        users = self._draw_users(period.newcomers, n_visits, generator)
        order = np.argsort(users, kind="stable")
        return _Visits(users[order], on_taste[order], first[order], counts[order])

    def _draw_users(
        self, newcomers: tuple[int, int], n_visits: int, generator: np.random.Generator
    ) -> Ints:
        """Newcomers once, then users by their activity, which is log-normal (heavy-tailed)."""
        if self._activity is None:
            self._activity = np.cumsum(generator.lognormal(0.0, 0.9, self.n_users))
        once = np.arange(*newcomers)
        more = _draw_by_weight(self._activity, generator.random(max(n_visits - len(once), 0)))
        return np.concatenate([once, more])[:n_visits]

    def _get_popularity(self, generator: np.random.Generator) -> Floats:
        """Cumulative popularity of the items, which is a power law: (I + 1,)."""
        if self._popularity is None:
            weights = (1.0 + generator.permutation(self.n_items)) ** -0.8
            self._popularity = np.concatenate([[0.0], np.cumsum(weights)])
        return self._popularity

    def _draw_items(
        self, visits: _Visits, sessions: Ints, popularity: Floats, generator: np.random.Generator
    ) -> Ints:
        if self._tastes is None:
            self._tastes = generator.integers(0, len(self._starts) - 1, (self.n_users, 2))
        second = (generator.random(int(sessions[-1]) + 1) < 0.3).astype(np.int64)
        shelf = self._tastes[visits.users, second[sessions]]
        low = np.where(visits.on_taste, popularity[self._starts[shelf]], 0.0)
        high = np.where(visits.on_taste, popularity[self._starts[shelf + 1]], popularity[-1])
        places = low + (high - low) * generator.random(len(shelf))
        items = np.searchsorted(popularity, places, side="right") - 1
        return np.minimum(items, self.n_items - 1)


def numbered_ids(letter: str, n: int) -> pl.Series:
    """Return ids such as u01 to u13, which sort as their numbers do."""
    return letter + pl.int_range(1, n + 1, eager=True).cast(pl.String).str.zfill(len(str(n)))


def _shelf_size(n_items: int) -> int:
    return int(SHELF_SIZE * max(1.0, n_items / FEW_ITEMS) ** 0.5)


def _shelf_name(shelf: int) -> str:
    series, place = divmod(shelf, len(SHELVES))
    return SHELVES[place] + (str(series + 1) if series else "")


def _draw_by_weight(bounds: Floats, uniform: Floats) -> Ints:
    """Return positions by the inverse of a cumulative weight."""
    places: Ints = np.searchsorted(bounds, uniform * bounds[-1], side="right")
    return np.clip(places, 0, len(bounds) - 1)


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


def _funnel_delays(offsets: Ints, generator: np.random.Generator) -> Floats:
    """Milliseconds from the visit to each of its events: minutes a step, or days now and then."""
    late = generator.random(len(offsets)) < 0.15
    delays = generator.exponential(np.where(late, 2 * DAY, 4 * MINUTE))
    return _running_sum(delays, offsets == 0)
