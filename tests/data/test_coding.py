from typing import Any

import numpy as np
import polars as pl
import pytest

from cigf.data.coding import EMPTY, FIRST, MISSING, Coder


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        (pl.String, ["b", None, "a", "b", "c", "", "a"]),
        (pl.Int64, [7, None, -3, 7, 5, 0, -3]),
        (pl.Float64, [7.5, None, -3.0, 7.5, float("inf"), 0.0, -3.0]),
        (pl.Boolean, [True, None, False, True, True, False, False]),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 7])
def test_codes_stand_for_the_values_in_their_order(
    dtype: Any, values: list[Any], size: int
) -> None:
    column, coder = pl.Series("x", values, dtype=dtype), Coder(dtype)
    codes = np.concatenate(
        [coder.code(column.slice(start, size)) for start in range(0, len(values), size)]
    )
    assert coder.values.gather(codes).to_list() == values
    seen = list(dict.fromkeys(value for value in values if value is not None))
    assert coder.values.to_list() == [None, None, *seen]
    assert codes[1] == MISSING
    assert coder.counts.tolist() == [1, 0, *(values.count(value) for value in seen)]


def test_empty_lines_have_a_code_of_their_own() -> None:
    coder = Coder(pl.String)
    codes = coder.code(pl.Series(["a", None, None]), pl.Series([False, True, False]))
    assert codes.tolist() == [FIRST, EMPTY, MISSING]
    assert coder.counts.tolist() == [1, 1, 1]


def test_a_piece_without_values_adds_nothing() -> None:
    coder = Coder(pl.String)
    assert coder.code(pl.Series([], dtype=pl.String)).tolist() == []
    assert coder.code(pl.Series([None], dtype=pl.String)).tolist() == [MISSING]
    assert len(coder.values) == FIRST
