"""What is refused before anything is ranked, each with one clear message."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cigf.data.ids import UNKNOWN, IdMap
from cigf.errors import ConfigError, UnknownIdError, did_you_mean
from cigf.inference.answers import Audience

_FEW = 3
"""How many unknown ids a message names."""


def check_k(k: int) -> None:
    """Raise `ConfigError` if lists would have no length."""
    if k < 1:
        raise ConfigError(f"k: {k} given; the length of a list must be at least 1")


def check_choice(option: str, value: str, allowed: tuple[str, ...]) -> None:
    """Check an option that is one of a few words.

    Raises:
        ConfigError: It is another; names the closest.
    """
    if value not in allowed:
        raise ConfigError(
            f"{option}: {value!r} given{did_you_mean(value, allowed)}; "
            f"it is one of {', '.join(allowed)}"
        )


def refuse_unknown(ids: pl.Series, rows: NDArray[np.int64], known: IdMap) -> None:
    """Raise `UnknownIdError` if some ids have no row; names a few."""
    unknown = ids.filter(pl.Series(rows == UNKNOWN))
    if len(unknown):
        few = ", ".join(map(repr, unknown.head(_FEW).to_list()))
        more = ", ..." if len(unknown) > _FEW else ""
        hint = '; fallback="popularity" answers anyway' if known.entity == "user" else ""
        raise UnknownIdError(
            f"{len(unknown)} of {len(ids)} {known.entity} ids are not in this model "
            f"({len(known):,} are): {few}{more}{hint}"
        )


def refuse_silent(audience: Audience) -> None:
    """Raise `UnknownIdError` if nothing is known of some users; names a few."""
    silent = audience.ids.filter(pl.Series(audience.rows == UNKNOWN))
    if len(silent):
        few = ", ".join(map(repr, silent.head(_FEW).to_list()))
        raise UnknownIdError(
            f"{len(silent)} of {len(audience.ids)} users are not in this model, and none of their "
            f'events is of an item in it: {few}; fallback="popularity" answers anyway'
        )
