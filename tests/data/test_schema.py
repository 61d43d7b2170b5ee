import polars as pl
import pytest

from cigf.data.behaviors import Behaviors
from cigf.data.schema import Interactions, behavior_type
from cigf.errors import DataError

NAMES = Behaviors(("view", "buy"))


def frame(**columns: object) -> pl.DataFrame:
    values = {"user_id": [1, 2, 3], "item_id": ["a", "b", "c"], "behavior": ["view", "buy", "buy"]}
    return pl.DataFrame(values | columns)


def test_a_frame_with_text_behaviors_becomes_an_enum() -> None:
    interactions = Interactions.from_frame(frame(extra=[0, 0, 0]), NAMES)
    assert interactions.events.columns == ["user_id", "item_id", "behavior"]
    assert interactions.events["behavior"].to_physical().to_list() == [0, 1, 1]
    assert len(interactions) == 3
    assert not interactions.has_times


def test_times_are_noticed() -> None:
    assert Interactions.from_frame(frame(timestamp=[5, 6, 7]), NAMES).has_times


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"behavior": ["view", "bye", "buy"]}, r"behavior 'bye' is not known; did you mean buy\?"),
        ({"user_id": [1.5, 2.0, 3.0]}, r"column user_id is Float64; it must be Int64 or String"),
        ({"item_id": ["a", None, "b"]}, r"column item_id has missing values"),
        ({"timestamp": ["x", "y", "z"]}, r"column timestamp is String; it must be Int64"),
    ],
)
def test_wrong_columns_are_refused(columns: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Interactions.from_frame(frame(**columns), NAMES)


@pytest.mark.parametrize("name", ["user_id", "item_id", "behavior"])
def test_a_missing_column_is_named(name: str) -> None:
    with pytest.raises(DataError, match=f"column {name} is missing"):
        Interactions.from_frame(frame().drop(name), NAMES)


def test_an_unknown_column_is_refused() -> None:
    events = frame(price=[1, 2, 3]).with_columns(pl.col("behavior").cast(behavior_type(NAMES)))
    with pytest.raises(DataError, match="column 'price'; allowed are user_id, item_id, behavior"):
        Interactions(events, NAMES)
