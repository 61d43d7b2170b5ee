"""Times in whatever form -> milliseconds since 1970-01-01 UTC."""

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


def to_milliseconds(column: pl.Series) -> pl.Series:
    """Return times as Int64 milliseconds; null where a value is missing or no time.

    Numbers are seconds, milliseconds, microseconds or nanoseconds, told apart by the largest of
    them; text is a number or ISO 8601; naive dates and times are UTC. A negative time stays
    negative, for the caller to refuse.
    """
    dtype = column.dtype
    if dtype == pl.Date or isinstance(dtype, pl.Datetime):
        return column.cast(pl.Datetime("ms")).cast(pl.Int64)
    if dtype.is_integer() or dtype.is_float():
        return _scale(column)
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return _parse(column.cast(pl.String).str.strip_chars())
    return pl.Series(column.name, [None] * len(column), dtype=pl.Int64)


def _scale(column: pl.Series) -> pl.Series:
    if column.dtype.is_float():
        decimals = column.cast(pl.Float64).fill_nan(None)
        decimals = decimals.set(decimals.is_infinite().fill_null(False), None)
        return (decimals * _factor(decimals)).round().cast(pl.Int64, strict=False)
    whole = column.cast(pl.Int64, strict=False)
    if whole.count() and whole.is_between(*DATE_NUMBERS).all():
        return _parse_dates(whole.cast(pl.String))
    factor = _factor(whole)
    return whole * int(factor) if factor >= 1 else whole // round(1 / factor)


def _factor(numbers: pl.Series) -> float:
    highest = numbers.max()
    largest = float(highest) if isinstance(highest, int | float) else 0.0
    return next((factor for bound, factor in UNITS if largest >= bound), 1e3)


def _parse(text: pl.Series) -> pl.Series:
    """Read each value as a number or as a date, whichever fits more of them."""
    numbers = text.cast(pl.Int64, strict=False)
    if numbers.null_count() == text.null_count():
        return _scale(numbers)
    decimals = text.cast(pl.Float64, strict=False)
    if decimals.null_count() == text.null_count():
        return _scale(decimals)
    dates = _parse_dates(text)
    return dates if dates.null_count() <= decimals.null_count() else _scale(decimals)


def _parse_dates(text: pl.Series) -> pl.Series:
    text = text.str.replace(r"\s*(UTC|GMT)$", "")
    result = pl.Series(text.name, [None] * len(text), dtype=pl.Datetime("ms", "UTC"))
    for written in FORMATS:
        if result.null_count() == text.null_count():
            break
        parsed = text.str.to_datetime(written, time_unit="ms", time_zone="UTC", strict=False)
        result = result.fill_null(parsed)
    return result.cast(pl.Int64)
