import pytest

from cigf.data.aliases import find_column, translate_behavior

FUNNEL = ("view", "fav", "cart", "buy")


@pytest.mark.parametrize(
    ("names", "standard", "found"),
    [
        (["User ID", "sku"], "user_id", "User ID"),
        (["visitorId", "itemid"], "item_id", "itemid"),
        (["uid", "user_id"], "user_id", "user_id"),
        (["event_type", "x"], "behavior", "event_type"),
        (["a", "Behaviour-Type"], "behavior", "Behaviour-Type"),
        (["date", "ts"], "timestamp", "ts"),
        (["a", "b"], "timestamp", None),
    ],
)
def test_columns_are_found_by_their_aliases(
    names: list[str], standard: str, found: str | None
) -> None:
    assert find_column(names, standard) == found


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        ("pv", "view"),
        ("click", "view"),
        ("addtocart", "cart"),
        ("Add To Cart", "cart"),
        ("collect", "fav"),
        ("favorite", "fav"),
        ("purchase", "buy"),
        ("order", "buy"),
        ("BUY", "buy"),
        ("share", None),
    ],
)
def test_values_are_translated_by_the_alias_table(value: str, meaning: str | None) -> None:
    assert translate_behavior(value, FUNNEL, {}) == meaning


def test_the_users_mapping_wins_over_everything() -> None:
    assert translate_behavior("view", FUNNEL, {"view": "buy"}) == "buy"
    assert translate_behavior("pv", FUNNEL, {"pv": ""}) == ""
    assert translate_behavior("PV", FUNNEL, {"pv": "cart"}) == "cart"
    assert translate_behavior("PV", FUNNEL, {"Pv": "cart", "pv": "buy"}) == "view"


def test_the_users_own_names_win_over_the_alias_table() -> None:
    assert translate_behavior("click", ("click", "order"), {}) == "click"
    assert translate_behavior("pv", ("click", "order"), {}) == "click"
    assert translate_behavior("purchase", ("click", "order"), {}) == "order"


@pytest.mark.parametrize("value", ["-1", "+1", "1.0", "1_0", "+1.0"])
def test_numbers_mean_only_what_is_mapped_exactly(value: str) -> None:
    mapping = {"1": "view", "10": "cart", "+10": "buy"}
    assert translate_behavior(value, FUNNEL, mapping) is None
    assert translate_behavior(value, ("1", "10", "+10"), {}) is None
    assert translate_behavior(value, FUNNEL, {**mapping, value: "fav"}) == "fav"


def test_an_alias_of_two_of_the_users_names_is_unknown() -> None:
    assert translate_behavior("pv", ("view", "click", "buy"), {}) is None
    assert translate_behavior("Click", ("view", "click", "buy"), {}) == "click"
