import polars as pl
import pytest

from cigf.data.id_columns import check_ids, clean_ids, unify_ids
from cigf.data.read_log import ReadLog
from cigf.errors import DataError


def cleaned(values: object, **options: object) -> tuple[pl.Series, ReadLog]:
    log = ReadLog("fail")
    column = check_ids(pl.Series(values, **options), "user", "log.csv")
    return clean_ids(column, "user", "log.csv", log), log


def unified(*columns: list[object]) -> tuple[list[list[object]], list[str]]:
    log = ReadLog("fail")
    result = unify_ids([pl.Series(column) for column in columns], "user_id", log)
    return [column.to_list() for column in result], log.warnings


def test_integers_stay_integers() -> None:
    assert cleaned([3, 5], dtype=pl.UInt16)[0].to_list() == [3, 5]
    assert cleaned([3, 5], dtype=pl.UInt16)[0].dtype == pl.Int64


def test_integers_beyond_64_signed_bits_become_text() -> None:
    assert cleaned([2**63 + 1, 5], dtype=pl.UInt64)[0].to_list() == [str(2**63 + 1), "5"]


def test_blanks_around_ids_do_not_count_and_are_reported() -> None:
    ids, log = cleaned([" a", "a", "b\t", "c"])
    assert ids.to_list() == ["a", "a", "b", "c"]
    assert log.warnings == [
        "log.csv: user: 2 ids had blanks around them, which were removed (' a', 'b\\t'); "
        "1 became equal to another id"
    ]


def test_an_id_that_stands_for_several_rows_is_counted_so() -> None:
    log = ReadLog("fail")
    clean_ids(pl.Series([" a", "a", "b "]), "user", "x", log, pl.Series([3, 5, 4]))
    assert "7 ids had blanks around them" in log.warnings[0]


def test_empty_ids_are_missing() -> None:
    assert cleaned(["", "a", "  "])[0].to_list() == [None, "a", None]
    assert cleaned(["", "a"])[0].to_list() == [None, "a"]
    assert cleaned([None, None])[0].null_count() == 2


def test_whole_decimals_are_integers_and_reported() -> None:
    ids, log = cleaned([1.0, float("nan"), 3.0])
    assert ids.to_list() == [1, None, 3]
    assert log.warnings == ["log.csv: user holds whole numbers as decimals; read as integers"]


@pytest.mark.parametrize("value", [1.5, float("inf"), 2.0**60])
def test_other_decimals_are_refused(value: float) -> None:
    with pytest.raises(DataError, match=r"log\.csv: column user holds decimal numbers; ids must"):
        cleaned([1.0, value])


@pytest.mark.parametrize("values", [[True, False], [[1], [2]]])
def test_other_types_are_refused(values: object) -> None:
    with pytest.raises(DataError, match="ids must be integers or text"):
        cleaned(values)


def test_categories_are_text() -> None:
    assert cleaned(["x", "y"], dtype=pl.Categorical)[0].to_list() == ["x", "y"]


def test_text_that_is_all_integers_is_integers() -> None:
    assert unified(["17", "-3"]) == ([[17, -3]], [])


@pytest.mark.parametrize("odd", ["01700", "+17", "1e3", "x", str(2**63)])
def test_one_other_id_makes_all_text(odd: str) -> None:
    assert unified(["17", odd]) == ([["17", odd]], [])
    many = [str(number) for number in range(1500)]
    assert unified([*many, odd]) == ([[*many, odd]], [])


def test_a_type_that_differs_between_sources_is_settled_and_reported() -> None:
    columns, warnings = unified(["17"], [17, 18])
    assert columns == [[17], [17, 18]]
    assert warnings == [
        "user_id: ids are integers in one source and text in another; read as integers"
    ]
    columns, warnings = unified(["x"], [17])
    assert columns == [["x"], ["17"]]
    assert warnings == ["user_id: ids are integers in one source and text in another; read as text"]


def test_whole_decimals_in_text_are_integers_and_reported() -> None:
    columns, warnings = unified(["17.0", "18"])
    assert columns == [[17, 18]]
    assert warnings == ["user_id: whole numbers written as decimals (such as '17.0') are integers"]


def test_ids_that_differ_only_in_leading_zeros_are_kept_apart_and_reported() -> None:
    columns, warnings = unified(["007", "7", "8"])
    assert columns == [["007", "7", "8"]]
    assert warnings == ["user_id: 1 ids differ from another only in leading zeros; kept apart"]


def test_decimals_beside_other_text_are_text() -> None:
    assert unified(["17.0", "x"]) == ([["17.0", "x"]], [])
