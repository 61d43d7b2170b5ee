"""One planted fault per finding, and none on sound data."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from cigf.data.behaviors import Behaviors
from cigf.data.checks import check_split
from cigf.data.dataset import Dataset, build_matrix, matrix_from_parts
from cigf.data.ids import IdMap
from cigf.data.splitting import Candidates, HeldOut, Split
from cigf.data.synthetic import checkerboard

N_USERS, N_ITEMS = 3, 5
NOW = 1_800_000_000_000


def make_split(views, buys, test, times=(None, None), **parts):
    def matrix(pairs):
        own = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
        return build_matrix(own[:, 0], own[:, 1], (N_USERS, N_ITEMS))

    train = Dataset(
        Behaviors(("view", "buy")),
        IdMap(pl.Series(range(N_USERS)), "user"),
        IdMap(pl.Series(range(N_ITEMS)), "item"),
        (matrix(views), matrix(buys)),
        times,
    )
    users, items = (np.array(column) for column in zip(*test, strict=True))
    held_out = {"buy": HeldOut(users, items)}
    nothing = (matrix([]), matrix([]))
    return Split(train, nothing, parts.pop("valid", held_out), held_out, **parts)


EVERYTHING = [(u, i) for u in range(N_USERS) for i in range(N_ITEMS)]
VIEWS = [(0, 0), (0, 1), (1, 2), (2, 3), (2, 4)]
BUYS = [(0, 0), (1, 2), (2, 3)]
TEST = [(0, 4), (1, 0), (2, 4)]


def codes(findings, *severities):
    return [f.code for f in findings if not severities or f.severity in severities]


def only(findings, code):
    return next(f for f in findings if f.code == code)


def test_sound_data_has_no_errors_and_no_warnings():
    times = (np.full(5, NOW - 5) - np.arange(5), np.full(3, NOW - 9) + np.arange(3))
    findings = check_split(make_split(VIEWS, BUYS, TEST, times=times), now=NOW)
    assert codes(findings, "error", "warning") == []
    assert codes(findings) == ["sizes", "touched", "touched"]
    assert only(findings, "sizes").message == "3 users, 5 items; pairs: view 5, buy 3"
    assert "test buy: 1 of 3 pairs (33.3%) are touched" in findings[-1].message


def test_errors_come_first():
    findings = check_split(make_split(VIEWS, [*BUYS, (0, 4)], TEST))
    assert [f.severity for f in findings] == sorted(
        (f.severity for f in findings), key=["error", "warning", "info"].index
    )
    assert findings[0].code == "leak"


def test_a_test_pair_in_training():
    findings = check_split(make_split(VIEWS, [*BUYS, (0, 4)], TEST))
    leaks = [f for f in findings if f.code == "leak"]
    assert [f.message[:5] for f in leaks] == ["valid", "test "]
    assert "1 of 3 pairs are in training as buy" in leaks[1].message
    assert leaks[0].severity == "error"


def test_a_test_pair_that_was_the_validation_pair():
    split = make_split(VIEWS, BUYS, TEST, valid={})
    withheld = (split.withheld[0], build_matrix(np.array([1]), np.array([0]), (N_USERS, N_ITEMS)))
    assert "leak" in codes(check_split(replace(split, withheld=withheld)))


def test_held_out_pairs_given_twice():
    findings = check_split(make_split(VIEWS, BUYS, [*TEST, (2, 4)]))
    assert "1 pairs stand more than once" in only(findings, "duplicate-held-out").message


def test_pairs_that_repeat_in_a_matrix():
    split = make_split(VIEWS, BUYS, TEST)
    twice = matrix_from_parts(
        np.array([0, 2, 3, 4]), np.array([0, 0, 2, 3], np.int32), (N_USERS, N_ITEMS)
    )
    train = replace(split.train, interactions=(split.train.interactions[0], twice))
    findings = check_split(replace(split, train=train))
    assert only(findings, "duplicates").message == "buy: 1 pairs stand more than once"


def test_empty_rows_columns_and_behaviors():
    findings = check_split(make_split([], [(0, 0), (1, 0)], TEST))
    assert only(findings, "empty-behavior").message == "view: no pair at all"
    assert "1 of 3 users have no training pair" in only(findings, "empty-users").message
    assert "4 of 5 items have no training pair" in only(findings, "empty-items").message
    assert "1 of 3 users have no buy in training" in only(findings, "no-target").message


def test_test_users_and_items_without_training():
    findings = check_split(make_split([], [(0, 0), (1, 0)], TEST, valid={}))
    assert "test buy: 1 pairs have users without" in only(findings, "unknown-users").message
    assert "test buy: 2 pairs have items without" in only(findings, "unknown-items").message


def test_mostly_touched_pairs_are_a_warning():
    findings = check_split(make_split(EVERYTHING, BUYS, TEST))
    touched = only(findings, "touched")
    assert touched.severity == "warning"
    assert "3 of 3 pairs (100.0%)" in touched.message
    assert "touched-first" in touched.advice


def test_missing_parts():
    split = make_split(VIEWS, BUYS, TEST)
    assert "no-test" in codes(check_split(replace(split, test={}, valid={})))
    assert "no-valid" in codes(check_split(replace(split, valid={})))
    assert "no-valid" in codes(check_split(replace(split, valid={"view": split.test["buy"]})))
    assert "no-valid" not in codes(check_split(split))


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (-1, "negative-times"),
        (0, "zero-times"),
        (1_700_000_000, "early-times"),  # seconds taken for milliseconds
        (NOW + 1, "future-times"),
    ],
)
def test_odd_times(value, code):
    views = np.full(5, NOW) - np.arange(5)
    views[2] = value
    split = make_split(VIEWS, BUYS, TEST, times=(views, np.full(3, NOW)))
    findings = check_split(split, now=NOW)
    assert codes(findings, "warning") == [code]
    assert only(findings, code).message.startswith("1 of 8 times are")
    assert "future-times" not in codes(check_split(split))


def test_times_that_are_all_the_same():
    split = make_split(VIEWS, BUYS, TEST, times=(np.full(5, NOW), np.full(3, NOW)))
    assert codes(check_split(split), "warning") == ["same-times"]


def test_times_of_some_behaviors():
    split = make_split(VIEWS, BUYS, TEST, times=(NOW - np.arange(5), None))
    assert "no times for buy, but for view" in only(check_split(split), "some-times").message


def test_no_times():
    assert codes(check_split(checkerboard(7, 11)), "error", "warning") == []
    assert "no-times" in codes(check_split(checkerboard(7, 11)))


@pytest.mark.parametrize(("column", "found"), [(4, "1 rows hold the held-out"), (0, "and 1 items")])
def test_candidates_with_the_answer_or_a_known_item(column, found):
    drawn = np.array([[1, 2, column], [1, 3, -1], [0, 1, 2]], np.int32)
    kept = {("test", "buy", 0): Candidates(drawn, drawn)}
    finding = only(check_split(make_split(VIEWS, BUYS, TEST, candidates=kept)), "candidates")
    assert finding.severity == "error"
    assert found in finding.message


def test_sound_candidates():
    drawn = np.array([[1, 2, 3], [1, 3, -1], [0, 1, 2]], np.int32)
    kept = {
        ("test", "buy", 0): Candidates(drawn, drawn),
        ("valid", "view", 0): Candidates(drawn, drawn),
    }
    assert codes(check_split(make_split(VIEWS, BUYS, TEST, candidates=kept)), "error") == []


def test_findings_are_plain_values():
    findings = check_split(make_split(VIEWS, BUYS, TEST))
    first = json.loads(json.dumps([f.to_json() for f in findings]))[0]
    assert set(first) == {"severity", "code", "message", "advice"}
