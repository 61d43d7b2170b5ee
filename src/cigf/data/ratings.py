"""Ratings as behaviors: `dislike:1-2,neutral:3,like:4-5`."""

from dataclasses import dataclass

import polars as pl

from cigf.errors import DataError

DEFAULT_RATINGS = "dislike:1-2,neutral:3,like:4-5"


@dataclass(frozen=True)
class RatingRange:
    """The ratings from `low` to `high`, both included, that mean one behavior."""

    behavior: str
    low: float
    high: float


def parse_ratings(text: str) -> tuple[RatingRange, ...]:
    """Read ranges of ratings; their order is the order of the behaviors, the target last.

    Raises:
        DataError: The text has another form, a name stands twice, or two ranges overlap.
    """
    ranges = tuple(_parse_range(part, text) for part in text.split(","))
    for place, one in enumerate(ranges):
        for other in ranges[:place]:
            if one.behavior == other.behavior:
                raise DataError(f"--ratings {text}: {one.behavior} stands twice")
            if one.low <= other.high and other.low <= one.high:
                raise DataError(f"--ratings {text}: {other.behavior} and {one.behavior} overlap")
    return ranges


def _parse_range(part: str, text: str) -> RatingRange:
    name, _, bounds = part.strip().partition(":")
    low, _, high = bounds.partition("-")
    try:
        parsed = RatingRange(name.strip(), float(low), float(high or low))
    except ValueError:
        parsed = RatingRange("", 0.0, 0.0)
    if not parsed.behavior or not parsed.low <= parsed.high:
        raise DataError(
            f"--ratings {text}: {part.strip()!r} is no range; "
            f"write name:lowest-highest, such as {DEFAULT_RATINGS}"
        )
    return parsed


def rating_behaviors(ratings: pl.Series, ranges: tuple[RatingRange, ...]) -> pl.Series:
    """Return the behavior that each rating means, null where it is no number in a range."""
    meaning = pl.lit(None, dtype=pl.String)
    for one in ranges:
        inside = pl.col("rating").is_between(one.low, one.high)
        meaning = pl.when(inside).then(pl.lit(one.behavior)).otherwise(meaning)
    numbers = as_numbers(ratings)
    return pl.DataFrame({"rating": numbers}).select(behavior=meaning)["behavior"]


def as_numbers(ratings: pl.Series) -> pl.Series:
    """Return ratings as numbers, null where one is none."""
    return ratings.cast(pl.Float64, strict=False).fill_nan(None)
