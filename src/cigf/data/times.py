"""Times in whatever form -> milliseconds since 1970-01-01 UTC."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Literal

import polars as pl

FORMATS = (
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d",
    "%Y%m%d",
    "%Y-%m-%dT%H:%M%#z",
    "%Y-%m-%d %H:%M%#z",
)
"""Written times that are understood: ISO 8601 and its near relations; without a zone it is UTC."""

UNITS = ((1e17, 1e-6), (1e14, 1e-3), (1e11, 1.0), (0.0, 1e3))
"""Lower bound of the largest time -> factor to milliseconds: ns, us, ms, s.

The bounds lie where no real log comes near them: 1e11 is the year 5138 in seconds and 1973 in
milliseconds."""


LATEST = 253_402_300_799_999
"""The last millisecond of the year 9999."""

DATE_NUMBERS = (19_700_101, 21_001_231)
"""Whole numbers that all lie here are dates written as YYYYMMDD; as seconds they would be
August 1970."""


@dataclass(frozen=True)
class TimeReading:
    """How the values of a column are to be understood.

    Args:
        kind: Moments (of a type for times), whole numbers, decimals, dates written as numbers,
            dates in text, or nothing that is a time.
        factor: From the numbers' unit to milliseconds.
    """

    kind: Literal["moment", "whole", "decimal", "date_number", "date_text", "nothing"]
    factor: float = 1.0

    def apply(self, column: pl.Series) -> pl.Series:
        """Return times as Int64 milliseconds; null where a value is missing or no time."""
        if self.kind == "nothing":
            return pl.Series(column.name, [None] * len(column), dtype=pl.Int64)
        if self.kind == "moment":
            return column.cast(pl.Datetime("ms")).cast(pl.Int64)
        column = _plain(column)
        if self.kind == "date_text":
            return _parse_dates(column)
        if self.kind == "decimal":
            decimals = _finite(column)
            return (decimals * self.factor).round().cast(pl.Int64, strict=False)
        whole = column.cast(pl.Int64, strict=False)
        if self.kind == "date_number":
            return _parse_dates(whole.cast(pl.String))
        if self.factor < 1:
            return whole // round(1 / self.factor)
        return whole.clip(-LATEST) * int(self.factor)  # 1 / 1000 of what an Int64 holds fits


def to_milliseconds(column: pl.Series) -> pl.Series:
    """Return times as Int64 milliseconds; null where a value is missing or no time."""
    return (reading_of(column) or TimeReading("nothing")).apply(column)


def reading_of(column: pl.Series) -> TimeReading | None:
    """Return how a column is to be read; None where it has no values.

    Numbers are seconds, milliseconds, microseconds or nanoseconds, told apart by the largest of
    them; text is a number or ISO 8601, whichever fits more of the values; naive dates and times are
    UTC. A negative time stays negative, for the caller to refuse.
    """
    return _decide([_look(column, thorough=False)])


def reading_of_pieces(columns: Iterable[pl.Series]) -> TimeReading:
    """Return how a column is to be read that comes in pieces of which each alone tells another."""
    found = _decide([_look(column, thorough=True) for column in columns])
    return found or TimeReading("nothing")


@dataclass(frozen=True)
class _Facts:
    """What tells how (a piece of) a column is to be read: how many values are what."""

    dtype: Any
    n_values: int
    n_whole: int = 0
    n_date_numbers: int = 0
    largest_whole: float = -inf
    n_decimals: int = 0
    largest_decimal: float = -inf
    n_dates: int = 0


def _look(column: pl.Series, *, thorough: bool) -> _Facts:
    """Count; what a single piece makes needless is only counted if that is to be thorough."""
    column = _plain(column)
    dtype = column.dtype
    facts = _Facts(dtype, column.count())
    if not (dtype.is_integer() or dtype.is_float() or dtype in _TEXT):
        return facts
    if not dtype.is_float():
        whole = column.cast(pl.Int64, strict=False)
        facts = replace(
            facts,
            n_whole=whole.count(),
            n_date_numbers=int(whole.is_between(*DATE_NUMBERS).sum()),
            largest_whole=_largest(whole),
        )
        if dtype.is_integer() or (facts.n_whole == facts.n_values and not thorough):
            return facts
    n_decimals = column.cast(pl.Float64, strict=False).count()
    facts = replace(facts, n_decimals=n_decimals, largest_decimal=_largest(_finite(column)))
    if dtype.is_float() or (n_decimals == facts.n_values and not thorough):
        return facts
    return replace(facts, n_dates=_parse_dates(column).count())


def _decide(pieces: Sequence[_Facts]) -> TimeReading | None:
    n_values, n_whole, n_date_numbers, n_decimals, n_dates = (
        sum(getattr(piece, name) for piece in pieces)
        for name in ("n_values", "n_whole", "n_date_numbers", "n_decimals", "n_dates")
    )
    if not n_values:
        return None
    dtype = pieces[0].dtype
    if dtype == pl.Date or isinstance(dtype, pl.Datetime):
        return TimeReading("moment")
    if not (dtype.is_integer() or dtype.is_float() or dtype in _TEXT):
        return TimeReading("nothing")
    if dtype.is_integer() or (n_whole == n_values and not dtype.is_float()):
        if n_date_numbers == n_whole > 0:
            return TimeReading("date_number")
        return TimeReading("whole", _factor(max(piece.largest_whole for piece in pieces)))
    if dtype.is_float() or n_decimals == n_values or n_decimals > n_dates:
        return TimeReading("decimal", _factor(max(piece.largest_decimal for piece in pieces)))
    return TimeReading("date_text")


_TEXT = (pl.String, pl.Categorical, pl.Enum)


def _plain(column: pl.Series) -> pl.Series:
    if column.dtype.is_decimal():
        return column.cast(pl.Float64)
    return column.cast(pl.String).str.strip_chars() if column.dtype in _TEXT else column


def _finite(column: pl.Series) -> pl.Series:
    """Return numbers as decimals, null where they are none or not finite."""
    decimals = column.cast(pl.Float64, strict=False).fill_nan(None)
    return decimals.set(decimals.is_infinite().fill_null(False), None)


def _largest(numbers: pl.Series) -> float:
    highest = numbers.max()
    return float(highest) if isinstance(highest, int | float) else -inf


def _factor(largest: float) -> float:
    return next((factor for bound, factor in UNITS if largest >= bound), 1e3)


def _parse_dates(text: pl.Series) -> pl.Series:
    text = text.str.replace(r"\s*(UTC|GMT)$", "")
    result = pl.Series(text.name, [None] * len(text), dtype=pl.Datetime("ms", "UTC"))
    for written in FORMATS:
        if result.null_count() == text.null_count():
            break
        parsed = text.str.to_datetime(written, time_unit="ms", time_zone="UTC", strict=False)
        result = result.fill_null(parsed)
    return result.cast(pl.Int64)
