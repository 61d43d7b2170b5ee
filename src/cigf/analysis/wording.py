"""Explanations in plain English, with the behaviors' own names."""

_PAST = {
    "view": "viewed",
    "click": "clicked",
    "pv": "viewed",
    "fav": "favorited",
    "favorite": "favorited",
    "like": "liked",
    "collect": "collected",
    "cart": "carted",
    "buy": "bought",
    "purchase": "purchased",
    "order": "ordered",
    "rate": "rated",
    "share": "shared",
    "watch": "watched",
    "play": "played",
    "read": "read",
    "save": "saved",
}


def past(behavior: str) -> str:
    """Return what someone did, such as "carted"; unknown names are quoted: did "tip" with."""
    return _PAST.get(behavior.lower(), f'did "{behavior}" with')


def path_text(behavior: str, touched: str, through: str | None, item: str, n_others: int) -> str:
    """Say why one of a user's events raises a score.

    Args:
        behavior: What the user did.
        touched: With which item.
        through: What others did with the recommended item; None where no others lead there.
        item: The recommended item.
        n_others: How many other users did `behavior` with `touched` and `through` with `item`.
    """
    did = f"You {past(behavior)} {touched}"
    if through is None or n_others == 0:
        return f"{did} itself." if touched == item else f"{did}, which is close to {item}."
    others = f"{n_others:,} other{'' if n_others == 1 else 's'}"
    if touched != item:
        return f"{did}; {others} who {past(behavior)} {touched} {past(through)} {item}."
    if through == behavior:
        return f"{did} itself, as did {others}."
    return f"{did} itself; {others} who {past(behavior)} {touched} {past(through)} it."
