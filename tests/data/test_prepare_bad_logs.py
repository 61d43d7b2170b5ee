"""Logs that are refused, or used with a remark."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from preparing_toys import NAMES, Row, log, split_of

from cigf.errors import DataError


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (
            [row for row in log() if row[2] != "cart"],
            {},
            r"behavior 'cart' has no events; those with events are view, buy; leave it out of "
            r"--behaviors, or map a value of the log to it with --map VALUE=cart",
        ),
        ([row for row in log() if row[0] == 2], {}, r"only one user \(2\) has events"),
        (
            [(user, "i", name, user) for user in range(3) for name in NAMES],
            {},
            r"only one item \('i'\) has events; at least two are needed",
        ),
        (log(), {"min_interactions": 99}, r"'view' has no events \(left out: users with fewer th"),
        (
            log(),
            {"min_behavior": "buyy"},
            r"behavior 'buyy' is not in this dataset; did you mean buy",
        ),
        (
            [(user, f"i{user % 2}", name, user) for user in range(3) for name in NAMES],
            {},
            r"split last: no user has two buy pairs, of which the last could be held out",
        ),
        (
            [(user, f"i{user % 2}", name, user) for user in range(3) for name in NAMES],
            {"split": "random"},
            r"split random: no user has two buy pairs",
        ),
        (
            [(u, i, b, 7) for u, i, b, _ in log()],
            {"split": "time"},
            r"split time: all target events have the same time, so no cut divides them",
        ),
        (log(), {"split": "time", "time_col": ""}, r"split time: the log has no times; name their"),
        (
            [*[(u, i, b, 7) for u, i, b, _ in log()], (99, "new", "buy", 9)],
            {"split": "time", "test_share": 0.1},
            r"split time: after the cut nothing new of known users and items happens under buy",
        ),
        (
            log(),
            {"split": "test_file"},
            r"split test_file: no test pairs were given; name their fi",
        ),
    ],
)
def test_logs_that_nothing_can_be_learned_from(
    rows: list[Row], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        split_of(rows, **options)


def test_test_pairs_and_another_split_contradict_each_other() -> None:
    with pytest.raises(DataError, match="split last: test pairs were given too; leave out --test"):
        split_of(log(), pl.DataFrame({"user": [3], "item": ["i00"]}), split="last")


def test_one_behavior_is_enough_and_remarked() -> None:
    split, report = split_of(
        [row for row in log() if row[2] == "buy"], behaviors=("buy",), times=False
    )
    assert split.train.touched().nnz == 0
    assert "only one behavior: no pair can be touched" in report.warnings[0]


def test_users_without_target_events_stay_and_are_counted() -> None:
    rows = [*log(), (50, "i01", "view", 1), (51, "i01", "cart", 2)]
    split, report = split_of(rows)
    assert split.train.n_users == 13
    assert any("2 of 13 users have no buy events" in text for text in report.warnings)


def test_too_few_pairs_for_validation_are_remarked() -> None:
    rows = [(u, f"i{i}", b, u + i) for u in range(3) for i in range(2) for b in NAMES]
    split, report = split_of(rows)
    assert split.valid == {}
    assert any("no validation pairs: too few users" in text for text in report.warnings)


def test_the_core_is_cut_before_the_ids_are_numbered() -> None:
    rows = [*log(), (50, "rare", "view", 1)]
    split, report = split_of(rows, min_interactions=2)
    assert "rare" not in split.train.items.ids.to_list()
    assert report.dropped["users with fewer than 2 pairs"] == 1
    assert report.dropped["items with fewer than 2 pairs"] == 1
    assert report.dropped["events of such users and items"] == 1
    assert split_of(rows, min_interactions=2, min_behavior="view")[0].train.n_users <= 11


@pytest.mark.parametrize("split", ["last", "random"])
def test_a_behavior_that_every_user_and_item_must_have(split: str) -> None:
    rows = [(50, "i00", "view", 1), (0, "rare", "cart", 2), *log()]
    found, report = split_of(rows, min_behavior="buy", split=split)
    assert (np.diff(found.history("test").target.indptr) > 0).all()
    assert "rare" not in found.train.items.ids.to_list()
    assert report.dropped["users with fewer than 1 buy pairs"] >= 1
    assert report.dropped["items with fewer than 1 buy pairs"] >= 1
