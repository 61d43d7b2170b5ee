from pathlib import Path

import polars as pl
import pytest

from cigf.data.behaviors import Behaviors
from cigf.data.ids import UNKNOWN, IdMap
from cigf.errors import DataError, UnknownIdError

NUMBERS = IdMap(pl.Series([3, 7, 17]), "user")
WORDS = IdMap(pl.Series(["a", "b", "17"]), "item")


def test_ids_are_found_by_value() -> None:
    assert NUMBERS.find([17, 3, 99]).tolist() == [2, 0, UNKNOWN]
    assert NUMBERS.find(["17", "x"]).tolist() == [2, UNKNOWN]
    assert WORDS.find([17, "b", None]).tolist() == [2, 1, UNKNOWN]
    assert WORDS.find([]).tolist() == []
    assert NUMBERS.find([17.0, 17.5, float("nan")]).tolist() == [2, UNKNOWN, UNKNOWN]
    assert WORDS.find([17.0]).tolist() == [2]


def test_one_id_is_found_or_refused() -> None:
    assert NUMBERS.row(7) == 1
    assert NUMBERS.row("7") == 1
    with pytest.raises(UnknownIdError, match=r"user 99 is not known \(3 are\)"):
        NUMBERS.row(99)


def test_rows_give_ids_back() -> None:
    assert WORDS.external(WORDS.find(["b", "a"])).to_list() == ["b", "a"]
    assert len(WORDS) == 3


def test_equal_ids_are_equal_maps() -> None:
    assert IdMap(pl.Series([3, 7, 17]), "user") == NUMBERS
    assert hash(IdMap(pl.Series([3, 7, 17]), "user")) == hash(NUMBERS)
    assert WORDS != NUMBERS
    assert WORDS != "a"


def test_ids_must_be_there_and_differ() -> None:
    with pytest.raises(DataError, match="user ids: 1 are missing"):
        IdMap(pl.Series(["a", None]), "user")
    with pytest.raises(DataError, match="item ids: 1 stand more than once"):
        IdMap(pl.Series(["a", "b", "a"]), "item")


def test_behaviors_know_their_target_and_suggest() -> None:
    names = Behaviors(("view", "cart", "buy"))
    assert (names.target, names.target_name, names.index("cart")) == (2, "buy", 1)
    assert list(names) == ["view", "cart", "buy"]
    with pytest.raises(DataError, match=r"behavior 'buyy' is not in this .*; did you mean buy\?"):
        names.index("buyy")


def test_saved_ids_do_not_show_how_they_lie_in_memory(tmp_path: Path) -> None:
    names = [f"{row:04d} is followed by more than twelve letters" for row in range(5000)]
    shuffled = pl.Series([names[(7 * row) % 5000] for row in range(5000)])
    pieces = pl.concat([pl.Series(names[:20]), pl.Series(names[20:])], rechunk=False)
    IdMap(pl.Series(names), "item").save(tmp_path / "plain", "item_id")
    for ids in (shuffled.sort(), pieces):
        assert ids.to_list() == names
        IdMap(ids, "item").save(tmp_path / "other", "item_id")
        assert (tmp_path / "other").read_bytes() == (tmp_path / "plain").read_bytes()
    assert pl.read_ipc(tmp_path / "plain").to_dict(as_series=False) == {"item_id": names}
