from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cigf.data.times import reading_of, reading_of_pieces, to_milliseconds

MOMENT = datetime(2017, 11, 25, 8, 30, 15, 250000, tzinfo=UTC)
SECONDS = 1511598615
MILLISECONDS = SECONDS * 1000 + 250


def whole(column: pl.Series) -> list[int | None]:
    result = to_milliseconds(column)
    assert result.dtype == pl.Int64
    return result.to_list()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (SECONDS, SECONDS * 1000),
        (SECONDS + 0.25, MILLISECONDS),
        (MILLISECONDS, MILLISECONDS),
        (float(MILLISECONDS), MILLISECONDS),
        (MILLISECONDS * 1000 + 999, MILLISECONDS),
        (MILLISECONDS * 1_000_000 + 999_999, MILLISECONDS),
        (str(SECONDS), SECONDS * 1000),
        (f"{SECONDS}.25", MILLISECONDS),
        (f" {MILLISECONDS} ", MILLISECONDS),
        (MOMENT, MILLISECONDS),
        (MOMENT.replace(tzinfo=None), MILLISECONDS),
        (date(2017, 11, 25), 1511568000000),
        ("2017-11-25T08:30:15.250Z", MILLISECONDS),
        ("2017-11-25T09:30:15.250+01:00", MILLISECONDS),
        ("2017-11-25 08:30:15 UTC", SECONDS * 1000),
        ("2017-11-25 08:30:15", SECONDS * 1000),
        ("2017-11-25T08:30", (SECONDS - 15) * 1000),
        ("2017-11-25T08:30Z", (SECONDS - 15) * 1000),
        ("2017-11-25 09:30+01:00", (SECONDS - 15) * 1000),
        (Decimal(SECONDS), SECONDS * 1000),
        (Decimal(f"{SECONDS}.25"), MILLISECONDS),
        ("2017-11-25", 1511568000000),
        ("2017/11/25", 1511568000000),
        ("20171125", 1511568000000),
        (20171125, 1511568000000),
        (7, 7000),
    ],
)
def test_every_form_of_a_time_becomes_milliseconds(value: object, expected: int) -> None:
    assert whole(pl.Series([value, value])) == [expected, expected]


def test_zoned_datetimes_are_converted() -> None:
    berlin = MOMENT.astimezone(timezone(timedelta(hours=1)))
    assert whole(pl.Series([berlin])) == [MILLISECONDS]


def test_mixed_iso_forms_are_read_together() -> None:
    column = pl.Series(["2017-11-25", "2017-11-25T08:30:15Z", "2017-11-25 08:30:15"])
    assert whole(column) == [1511568000000, SECONDS * 1000, SECONDS * 1000]


@pytest.mark.parametrize(
    "column",
    [
        pl.Series([1.0, float("nan"), 3.0]),
        pl.Series([1.0, float("inf"), 3.0]),
        pl.Series([1, None, 3]),
        pl.Series(["1", "soon", "3"]),
        pl.Series(["1", "", "3"]),
        pl.Series(["1.0", "nan", "3.0"]),
    ],
)
def test_what_is_no_time_becomes_null(column: pl.Series) -> None:
    assert whole(column) == [1000, None, 3000]


def test_negative_times_stay_negative_for_the_reader_to_refuse() -> None:
    assert whole(pl.Series([-5, SECONDS])) == [-5000, SECONDS * 1000]


@pytest.mark.parametrize("unit", [1, 1000, 1_000_000, 1_000_000_000])
@pytest.mark.parametrize("lowest", [-(2**63), -(2**63) + 1, -(10**17)])
def test_no_time_is_so_negative_that_it_becomes_one_again(lowest: int, unit: int) -> None:
    low, time = whole(pl.Series([lowest, SECONDS * unit]))
    assert low < 0
    assert time == SECONDS * 1000


@pytest.mark.parametrize("low", [100_000_000_000, 99_999_999_999_999])
def test_the_bounds_of_milliseconds(low: int) -> None:
    assert whole(pl.Series([low])) == [low]


def test_the_largest_time_tells_the_unit_of_all() -> None:
    assert whole(pl.Series([5, MILLISECONDS])) == [5, MILLISECONDS]


def test_a_type_that_is_no_time_gives_nulls() -> None:
    assert whole(pl.Series([[1], [2]])) == [None, None]
    assert whole(pl.Series([None, None])) == [None, None]


VALUES = ["5", "1511598615", "1511598615250", "3.5", "20171125", "2017-11-25", "soon", "", None]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(VALUES), min_size=1, max_size=12), st.integers(1, 4))
def test_pieces_are_read_as_the_whole_is(values: list[str | None], size: int) -> None:
    column = pl.Series(values, dtype=pl.String)
    pieces = [column.slice(start, size) for start in range(0, len(column), size)]
    told = {reading for piece in pieces if (reading := reading_of(piece)) is not None}
    reading = told.pop() if len(told) == 1 else reading_of_pieces(pieces)
    expected = to_milliseconds(column)
    assert pl.concat(reading.apply(piece) for piece in pieces).to_list() == expected.to_list()
