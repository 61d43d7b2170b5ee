"""Logs and toy data whose right answers are known, because they were planted."""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from cigf.data.behaviors import Behaviors
from cigf.data.dataset import Dataset, build_matrix, matrix_from_parts
from cigf.data.ids import IdMap
from cigf.data.shop import FIRST_DAY, Ints, Period, Shop, ShopEvents, numbered_ids
from cigf.data.side_by_side import side_by_side
from cigf.data.splitting import HeldOut, Split
from cigf.errors import DataError
from cigf.seeding import numpy_generator

PERIOD = 1_000_000
"""Events that are drawn at a time; each period of a longer log lasts at least a day."""


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
    names = _check(n_users, n_items, n_interactions, behaviors)
    shop = Shop(n_users, n_items, len(names))
    drawn = shop.draw(Period(n_interactions, (0, n_users), 0, n_days), generator)
    return _frame(shop, names, ShopEvents.none().followed_by(drawn))


def stream_log(
    n_users: int,
    n_items: int,
    n_interactions: int,
    behaviors: Sequence[str] = ("view", "cart", "buy"),
    *,
    seed: int,
    period: int = PERIOD,
) -> Iterator[pl.DataFrame]:
    """Yield a shop's event log of any size piece by piece, in the order of time.

    A log of no more events than `period` is that of `generate_log`. A longer one is drawn in
    periods of at least a day, each from a generator of its own, and events that come late (a
    purchase days after the view) wait for their turn; so memory grows with users and items alone,
    and the log depends on its sizes, the behaviors, the seed and `period`.

    Raises:
        DataError: As `generate_log`.
    """
    names = _check(n_users, n_items, n_interactions, behaviors)
    shop = Shop(n_users, n_items, len(names))
    periods = _cut(n_users, n_interactions, period)
    waiting = ShopEvents.none()
    for number, drawn in enumerate(_draw_all(shop, periods, seed)):
        waiting = waiting.followed_by(drawn)
        last = number + 1 == len(periods)
        end = np.inf if last else periods[number + 1].start
        ready = int(np.searchsorted(waiting.times, end))
        yield _frame(shop, names, waiting[:ready])
        waiting = waiting[ready:]


def _check(n_users: int, n_items: int, n_events: int, behaviors: Sequence[str]) -> Behaviors:
    for name, size in [("users", n_users), ("items", n_items), ("interactions", n_events)]:
        if size < 1:
            raise DataError(f"generate: {size} {name} asked for; at least 1 is needed")
    return Behaviors(tuple(behaviors))


def _cut(n_users: int, n_events: int, most: int, n_days: int = 60) -> list[Period]:
    """Divide events, users and days over as few periods as there may be."""
    count = -(-n_events // most)
    events = [n_events * k // count for k in range(count + 1)]
    users = [n_users * k // count for k in range(count + 1)]
    days = -(-n_days // count)
    return [
        Period(events[k + 1] - events[k], (users[k], users[k + 1]), k * days, days)
        for k in range(count)
    ]


def _draw_all(shop: Shop, periods: list[Period], seed: int) -> Iterator[ShopEvents]:
    """Yield the events of each period; the next ones are drawn meanwhile."""
    yield shop.draw(periods[0], numpy_generator(seed, "generate"))
    yield from side_by_side(
        lambda number: shop.draw(periods[number], numpy_generator(seed, "generate", number)),
        range(1, len(periods)),
    )


def _frame(shop: Shop, names: Behaviors, events: ShopEvents) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "user_id": shop.user_ids.gather(events.users),
            "item_id": shop.item_ids.gather(events.items),
            "behavior": pl.Series(list(names)).gather(events.depths),
            "timestamp": FIRST_DAY + events.times.astype(np.int64),
        }
    )


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
        IdMap(numbered_ids("u", n_users), "user"),
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
