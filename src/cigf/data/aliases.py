"""Names under which columns and behaviors go in other people's logs."""

import re
from collections.abc import Mapping, Sequence

from cigf.data.schema import BEHAVIOR, ITEM, TIME, USER

COLUMN_ALIASES: Mapping[str, tuple[str, ...]] = {
    USER: ("user_id", "user", "uid", "visitor_id", "customer_id", "member_id", "account_id",
           "client_id", "person_id", "buyer_id", "session_id"),
    ITEM: ("item_id", "item", "iid", "product_id", "product", "sku", "sku_id", "article_id",
           "goods_id", "content_id", "movie_id", "song_id", "track_id", "asin"),
    BEHAVIOR: ("behavior", "behaviour", "behavior_type", "behaviour_type", "event", "event_type",
               "event_name", "action", "action_type", "interaction", "interaction_type", "type"),
    TIME: ("timestamp", "time", "time_stamp", "event_time", "event_timestamp", "datetime",
           "date_time", "created_at", "ts", "unix_time", "date"),
}  # fmt: skip
"""Accepted names per standard column, in order of preference; case, "_", "-", " " do not count."""

COLUMN_OPTIONS: Mapping[str, str] = {
    USER: "--user-col",
    ITEM: "--item-col",
    BEHAVIOR: "--behavior-col",
    TIME: "--time-col",
}
"""The option that names a column where no alias does."""

BEHAVIOR_ALIASES: tuple[tuple[str, ...], ...] = (
    ("view", "views", "pv", "click", "clicks", "pageview", "viewitem", "viewproduct",
     "productview", "itemview", "detail", "browse", "visit", "impressionclick"),
    ("cart", "carts", "addtocart", "addcart", "addtobasket", "addtobag", "basket", "tocart", "atc"),
    ("fav", "favs", "favorite", "favorites", "favourite", "favourites", "favor", "favour",
     "collect", "collection", "wish", "wishlist", "addtowishlist", "bookmark", "save"),
    ("buy", "buys", "purchase", "purchases", "purchased", "order", "orders", "ordered",
     "transaction", "transactions", "checkout", "bought", "pay", "paid", "sale"),
)  # fmt: skip
"""Groups of names that mean the same behavior."""


def plain(name: str) -> str:
    """Return a name without case and separators, for comparison."""
    return re.sub(r"[\s_\-.]+", "", name).casefold()


def find_column(names: Sequence[str], standard: str) -> str | None:
    """Return the column that stands for a standard one, or None."""
    by_plain: dict[str, str] = {}
    for name in names:
        by_plain.setdefault(plain(name), name)
    for alias in COLUMN_ALIASES[standard]:
        if plain(alias) in by_plain:
            return standard if standard in names else by_plain[plain(alias)]
    return None


def translate_behavior(
    value: str, behaviors: Sequence[str], mapping: Mapping[str, str]
) -> str | None:
    """Return the behavior that a value of the log means: a name, "" (leave out) or None (unknown).

    The user's mapping wins, then the user's own names, then both in another case or with other
    separators, then the alias table, and that only where one single name of the user's stands in
    the value's group. A number is what it is: its sign and its point are no separators.
    """
    if value in mapping:
        return mapping[value]
    if value in behaviors:
        return value
    if plain(value).lstrip("+").isdecimal():
        return None
    similar = {meaning for key, meaning in mapping.items() if plain(key) == plain(value)}
    similar = similar or {name for name in behaviors if plain(name) == plain(value)}
    return similar.pop() if len(similar) == 1 else _by_alias(value, behaviors)


def _by_alias(value: str, behaviors: Sequence[str]) -> str | None:
    for group in BEHAVIOR_ALIASES:
        if plain(value) in group:
            meant = [name for name in behaviors if plain(name) in group]
            return meant[0] if len(meant) == 1 else None
    return None
