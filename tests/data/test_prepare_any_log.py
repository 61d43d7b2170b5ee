"""Any log gives a correct dataset or a clear error."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from preparing_toys import NAMES, Row, behaviors_of, held, last_pairs, pairs_of, split_of

from cigf.data.splitting import Split
from cigf.errors import DataError

IDS = st.one_of(st.integers(0, 5), st.sampled_from(["a", "b", " a", "1", "01", "", None]))
VALUES = st.sampled_from([*NAMES, "pv", "BUY", "addtocart", " view ", "share", None])
TIMES = st.one_of(st.integers(-2, 40), st.none())
LOGS = st.lists(st.tuples(IDS, IDS, VALUES, TIMES), min_size=1, max_size=40)
CLEAN = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 5), st.sampled_from(NAMES), st.integers(0, 40)),
    min_size=8,
    max_size=60,
)


def as_text(rows: list[Row]) -> list[Row]:
    """Ids of one column as text, so that a frame can hold them."""
    return [
        (*(None if value is None else str(value) for value in row[:2]), row[2], row[3])
        for row in rows
    ]


def understood(rows: list[Row]) -> list[Row]:
    """The rows that can be used, one at a time, with the meaning of their values."""
    meant = {"pv": "view", "BUY": "buy", "addtocart": "cart", " view ": "view"}
    good = []
    for user, item, value, time in rows:
        ids = [(text or "").strip() for text in (user, item)]
        behavior = meant.get(value, value)
        if all(ids) and behavior in NAMES and time is not None and time >= 0:
            good.append((*ids, behavior, time))
    return integers_where_all_are(good)


def integers_where_all_are(rows: list[Row]) -> list[Row]:
    columns = []
    for column in zip(*rows, strict=True):
        plain = all(isinstance(v, str) and v.isdecimal() and str(int(v)) == v for v in column)
        columns.append([int(v) for v in column] if plain else list(column))
    return list(zip(*columns, strict=True))


@settings(max_examples=60, deadline=None)
@given(st.one_of(LOGS, CLEAN), st.sampled_from(["fail", "skip"]), st.sampled_from(["last", "none"]))
def test_any_log_gives_a_correct_dataset_or_a_clear_error(
    rows: list[Row], on_error: str, kind: str
) -> None:
    rows = as_text(rows)
    expected = understood(rows)
    complete = len(expected) == len(rows)
    if (on_error == "fail" and not complete) or not learnable(expected, kind):
        with pytest.raises(DataError, match=r"\w+.{20,}"):
            split_of(rows, on_error=on_error, split=kind)
        return
    split, report = split_of(rows, on_error=on_error, split=kind, valid_share=0.5)
    assert report.n_events == len(expected)
    check_against_twin(split, expected, kind)


def learnable(rows: list[Row], kind: str) -> bool:
    """Whether there are two users, two items, all behaviors, and someone with two purchases."""
    users, items, names = ({row[k] for row in rows} for k in range(3))
    counts = Counter(user for user, _ in behaviors_of(rows, "buy"))
    enough = kind == "none" or max(counts.values(), default=0) >= 2
    return len(users) > 1 and len(items) > 1 and names == set(NAMES) and enough


def check_against_twin(split: Split, rows: list[Row], kind: str) -> None:
    assert split.train.users.ids.to_list() == sorted({row[0] for row in rows})
    assert split.train.items.ids.to_list() == sorted({row[1] for row in rows})
    buys = behaviors_of(rows, "buy")
    counts = Counter(user for user, _ in buys)
    test = {(u, i) for u, i in last_pairs(rows, "buy").items() if counts[u] >= 2}
    test = test if kind == "last" else set()
    assert held(split, split.test.get("buy")) == test
    valid = held(split, split.valid.get("buy"))
    left = [row for row in rows if row[2] != "buy" or row[:2] not in test]
    assert valid <= set(last_pairs(left, "buy").items())
    assert pairs_of(split, split.train.target) == buys - test - valid
    for index, name in enumerate(NAMES):
        pairs = behaviors_of(left, name) - (valid if name == "buy" else set())
        assert pairs_of(split, split.train.interactions[index]) == pairs
        times = split.train.times[index]
        assert times is not None
        assert times.tolist() == [last_time(rows, user, item, name) for user, item in sorted(pairs)]


def last_time(rows: list[Row], *event: Any) -> int:
    return max(row[3] for row in rows if row[:3] == event) * 1000
