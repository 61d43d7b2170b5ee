import math
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from preparing_toys import (
    NAMES,
    Pairs,
    Row,
    behaviors_of,
    frame,
    held,
    last_pairs,
    log,
    pairs_of,
    shuffled,
    split_of,
)

from cigf.data.candidates import candidate_generator, draw_candidates
from cigf.data.dataset_store import load_split
from cigf.data.holdouts import hold_out_validation
from cigf.data.options import PrepareOptions
from cigf.data.prepare import prepare
from cigf.errors import DataError, OutputError

# --- splits --------------------------------------------------------------------------------------


def test_last_holds_out_the_last_purchase_of_every_user_who_has_two() -> None:
    rows = log()
    split, report = split_of(rows)
    buys = Counter(user for user, _ in behaviors_of(rows, "buy"))
    expected = {(u, i) for u, i in last_pairs(rows, "buy").items() if buys[u] >= 2}
    assert held(split, split.test["buy"]) == expected
    known = split.history("test")
    assert pairs_of(split, known.target) == behaviors_of(rows, "buy") - expected
    for index, name in enumerate(NAMES[:-1]):
        assert pairs_of(split, split.train.interactions[index]) == behaviors_of(rows, name)
    assert report.n_test == {"buy": len(expected)}
    assert report.split.startswith("test: the last pair of each user with at least two")


def test_last_without_times_draws_and_says_so() -> None:
    rows = log()
    first, again = (split_of(rows, times=False)[0] for _ in range(2))
    other, report = split_of(rows, times=False, seed=1)
    assert held(first, first.test["buy"]) == held(again, again.test["buy"])
    assert held(first, first.test["buy"]) != held(other, other.test["buy"])
    assert held(first, first.test["buy"]) <= behaviors_of(rows, "buy")
    assert "one random pair (the log has no times)" in report.split


def test_validation_is_the_last_pair_left_of_a_share_of_the_users() -> None:
    rows = log(n_users=23, per_user=9)
    split, report = split_of(rows, valid_share=0.4)
    left = [row for row in rows if row[2] != "buy" or row[:2] not in held(split, split.test["buy"])]
    counts = Counter(user for user, _ in behaviors_of(left, "buy"))
    eligible = [user for user, count in counts.items() if count >= 3]
    valid = held(split, split.valid["buy"])
    assert len(eligible) > 4
    assert len(valid) == len({user for user, _ in valid}) == round(0.4 * len(eligible))
    assert valid <= {(user, item) for user, item in last_pairs(left, "buy").items()}
    assert pairs_of(split, split.withheld[2]) == valid
    assert pairs_of(split, split.train.target) == behaviors_of(left, "buy") - valid
    assert split.withheld[0].nnz == split.withheld[1].nnz == 0
    assert "validation: the last target pair of a random 40% of the users" in report.split


def test_validation_takes_only_users_with_three_pairs() -> None:
    split, _ = split_of(log(), split="none", valid_share=0)
    counts = np.diff(split.train.target.indptr)
    assert {2, 3} <= set(counts.tolist())
    chosen = hold_out_validation(split.train, 1.0, np.random.default_rng(0))
    assert chosen.users.tolist() == np.flatnonzero(counts >= 3).tolist()


def test_no_validation_if_none_is_wanted() -> None:
    split, report = split_of(log(), valid_share=0)
    assert split.valid == {} or len(split.valid["buy"]) == 0
    assert not any("no validation pairs" in warning for warning in report.warnings)


def test_random_leaves_every_user_a_pair() -> None:
    rows = log(n_users=29)
    split, report = split_of(rows, split="random", test_share=0.5)
    test = held(split, split.test["buy"])
    known = pairs_of(split, split.history("test").target)
    assert test | known == behaviors_of(rows, "buy")
    assert not test & known
    assert {u for u, _ in known} == {u for u, _ in behaviors_of(rows, "buy")}
    assert 5 < len(test) < len(known)
    assert report.split.startswith("test: a random 50% of the pairs")


def test_other_behaviors_can_be_held_out_too() -> None:
    split, report = split_of(log(), hold_out=("cart", "buy"))
    assert report.n_test.keys() == {"cart", "buy"}
    assert split_of(log(), hold_out=("cart",))[1] == report
    assert ("test", "cart", 0) in split.candidates
    with pytest.raises(DataError, match="behavior 'crat' is not in this dataset; did you mean"):
        split_of(log(), hold_out=("crat",))


def test_none_holds_out_only_validation() -> None:
    split, report = split_of(log(), split="none")
    assert split.test == {}
    assert report.n_test == {}
    assert "test: none" in report.split


def test_nothing_after_the_cut_is_in_training() -> None:
    rows = shuffled(log(n_users=23, per_user=9))
    # What was seen before the cut happens again after it, and two users come late.
    rows += [(*row[:3], row[3] + len(rows)) for row in rows[::7]]
    rows += [(50, rows[0][1], "buy", rows[len(rows) * 3 // 5][3])]
    rows += [(51, rows[0][1], "buy", rows[-1][3])]
    split, report = split_of(rows, split="time", test_share=0.2, valid_share=0.3)
    times = sorted(row[3] for row in rows if row[2] == "buy")
    cut = times[math.floor(len(times) * 0.8) - 1]
    early = [row for row in rows if row[3] <= cut]
    bought = sorted(row[3] for row in early if row[2] == "buy")
    window = bought[math.floor(len(bought) * 0.7) - 1]
    first = [row for row in early if row[3] <= window]
    for index, name in enumerate(NAMES):
        train, known = behaviors_of(first, name), behaviors_of(early, name)
        assert pairs_of(split, split.train.interactions[index]) == train
        assert pairs_of(split, split.withheld[index]) == known - train
        assert held(split, split.test[name]) == new_pairs(rows, early, name)
        assert held(split, split.valid[name]) == new_pairs(early, first, name)
        index = split.train.behaviors.index(name)
        drawn = draw_candidates(
            split.train, split.valid[name], index, 3, candidate_generator(0, "valid", name)
        )
        assert (split.candidates["valid", name, 0].all == drawn.all).all()
        assert (split.candidates["valid", name, 0].group == drawn.group).all()
    assert (50, rows[0][1]) in behaviors_of(early, "buy") - behaviors_of(first, "buy")
    assert report.split.startswith("test: what is new after 1970-01-01T")


def new_pairs(later: list[Row], known: list[Row], name: str) -> Pairs:
    users, items = {row[0] for row in known}, {row[1] for row in known}
    found = behaviors_of(later, name) - behaviors_of(known, name)
    return {(user, item) for user, item in found if user in users and item in items}


def test_events_of_new_users_after_the_cut_are_counted() -> None:
    rows = [*shuffled(log()), (99, "i01", "buy", 90_000), (1, "new", "view", 90_001)]
    split, report = split_of(rows, split="time", test_share=0.2)
    assert report.dropped["later events of a user or item not in training"] == 2
    assert 99 not in split.train.users.ids.to_list()


def test_a_last_moment_with_more_than_the_share_is_the_test() -> None:
    rows = [(u, f"i{i}", b, i) for u in range(4) for i in range(6) for b in NAMES]
    rows = [(u, i, b, min(t, 3) if b == "buy" else 0) for u, i, b, t in rows]
    split, report = split_of(rows, split="time", test_share=0.1, valid_share=0)
    assert held(split, split.test["buy"]) == {(u, f"i{i}") for u in range(4) for i in (3, 4, 5)}
    assert "after 1970-01-01T00:00:02" in report.split


def test_a_window_without_a_cut_gives_a_warning() -> None:
    rows = [(u, f"i{i}", b, 5) for u in range(3) for i in range(4) for b in NAMES]
    rows += [(0, "i9", "view", 5), (1, "i9", "buy", 9)]
    split, report = split_of(rows, split="time", test_share=0.2)
    assert split.valid == {}
    assert any("no validation pairs (split time: all target" in text for text in report.warnings)
    assert split_of(rows, split="time", test_share=0.2, valid_share=0)[0].valid == {}


def test_a_window_without_new_target_pairs_stays_in_training() -> None:
    rows = [(u, f"i{i}", b, i) for u in range(3) for i in range(4) for b in NAMES]
    rows += [(0, "i9", "view", 0), (1, "i9", "view", 10)]
    rows += [(u, "i0", "buy", 10) for u in range(3)]  # the window: bought once more
    rows += [(u, "i9", "buy", 20) for u in range(3)]
    split, report = split_of(rows, split="time", test_share=0.15)
    assert split.valid == {}
    assert (1, "i9") in pairs_of(split, split.train.interactions[0])
    assert sum(matrix.nnz for matrix in split.withheld) == 0
    assert any("no validation pairs: between 1970-01-01T00:00:03" in w for w in report.warnings)
    assert report.split.endswith("validation: none")
    # With a single new purchase in it, it is a window again.
    split, _ = split_of([*rows, (2, "i9", "buy", 9)], split="time", test_share=0.15)
    assert held(split, split.valid["buy"]) == {(2, "i9")}
    assert (1, "i9") in pairs_of(split, split.withheld[0])


# --- given test pairs ----------------------------------------------------------------------------


def test_given_pairs_are_the_test() -> None:
    rows = log()
    test = pl.DataFrame({"user": [3, 5, 5], "item": ["i00", "i01", "i01"]})
    expected = {(3, "i00"), (5, "i01")}
    split, report = split_of(rows, test)
    assert not expected & behaviors_of(rows, "buy")
    assert held(split, split.test["buy"]) == expected
    assert pairs_of(split, split.history("test").target) == behaviors_of(rows, "buy")
    assert report.dropped["test pairs given twice"] == 1
    assert report.split.startswith("test: the given pairs")


def test_given_pairs_may_name_their_behavior() -> None:
    rows = log()
    free = sorted(
        {(u, f"i{i:02}") for u in range(11) for i in range(13)} - behaviors_of(rows, "cart")
    )
    test = pl.DataFrame(
        {"user": [3, free[0][0]], "item": ["i00", free[0][1]], "a": ["buy", "cart"]}
    )
    split, _ = split_of(rows, test.rename({"a": "action"}))
    assert held(split, split.test["cart"]) == {free[0]}


@pytest.mark.parametrize(
    ("pairs", "message", "dropped", "left"),
    [
        (
            [(3, "i00"), (99, "i00"), (98, "i00")],
            r"test pairs: 2 users are not in training \(99, 98\), where 11 users are known; add "
            r"their events, or pass --on-error skip",
            {"test pairs with a user or item not in training": 2},
            {(3, "i00")},
        ),
        (
            [(3, "i00"), (4, "x"), (5, "y"), (6, "z"), (7, "w")],
            r"test pairs: 4 items are not in training \('x', 'y', 'z', \.\.\.\)",
            {"test pairs with a user or item not in training": 4},
            {(3, "i00")},
        ),
        (
            [(3, "i00"), (2, "i03")],
            r"test pairs: 1 are also in training as buy \(user 2 item 'i03'\); a model would have",
            {"test pairs taken out of training": 1},
            {(3, "i00"), (2, "i03")},
        ),
    ],
)
def test_given_pairs_that_do_not_fit(
    pairs: list[tuple[int, str]], message: str, dropped: dict[str, int], left: Pairs
) -> None:
    rows = [*log(), (2, "i03", "buy", 5)]
    test = pl.DataFrame(pairs, schema=["user", "item"], orient="row")
    with pytest.raises(DataError, match=message):
        split_of(rows, test)
    split, report = split_of(rows, test, on_error="skip")
    assert held(split, split.test["buy"]) == left
    assert not left & pairs_of(split, split.history("test").target)
    assert dropped.items() <= dict(report.dropped).items()


def test_no_usable_test_pair_is_an_error() -> None:
    test = pl.DataFrame({"user": [99], "item": ["i00"]})
    with pytest.raises(DataError, match="none of the given test pairs is usable as buy"):
        split_of(log(), test, on_error="skip")


def test_what_was_dropped_from_the_test_file_is_reported() -> None:
    test = pl.DataFrame({"user": [" 3", "5"], "item": ["i00", None]})
    _, report = split_of(log(), test, on_error="skip")
    assert report.dropped["test file: item_id missing"] == 1
    assert any(text.startswith("test file: data frame: user: 1 ids") for text in report.warnings)


# --- whole folders -------------------------------------------------------------------------------


def test_prepare_writes_what_it_built(tmp_path: Path) -> None:
    rows = log()
    options = PrepareOptions(n_candidates=5)
    report = prepare(frame(rows), tmp_path / "ds", options)
    loaded = load_split(tmp_path / "ds")
    built, _ = split_of(rows, n_candidates=5)
    assert loaded.train.fingerprint == built.train.fingerprint == report.fingerprint
    assert held(loaded, loaded.test["buy"]) == held(built, built.test["buy"])
    for key, drawn in built.candidates.items():
        assert (loaded.candidates[key].all == drawn.all).all()
        assert (loaded.candidates[key].group == drawn.group).all()
    assert report.to_json()["n_pairs"]["view"] == len(behaviors_of(rows, "view"))


def test_prepare_is_the_same_for_any_order_of_rows(tmp_path: Path) -> None:
    rows = log()
    reports = [
        prepare(frame(order), tmp_path / str(place), PrepareOptions())
        for place, order in enumerate([rows, rows[::-1]])
    ]
    assert reports[0] == reports[1]
    for path in sorted((tmp_path / "0").iterdir()):
        assert path.read_bytes() == (tmp_path / "1" / path.name).read_bytes(), path.name


def test_an_existing_folder_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "ds").mkdir()
    with pytest.raises(OutputError, match="exists already; choose another name or pass --force"):
        prepare("nowhere.csv", tmp_path / "ds", PrepareOptions())
    prepare(frame(log()), tmp_path / "ds", PrepareOptions(force=True))
    assert load_split(tmp_path / "ds").train.n_users == 11


def test_an_error_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no events"):
        prepare(
            frame(log()),
            tmp_path / "ds",
            PrepareOptions(behaviors=("view", "fav", "buy"), mapping={"cart": ""}),
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.data
def test_taobao_gives_the_published_counts(data_folder: Path, tmp_path: Path) -> None:
    taobao = data_folder / "taobao15k"
    report = prepare(
        taobao / "events.csv.gz", tmp_path / "ds", PrepareOptions(), test=taobao / "test.csv"
    )
    assert (report.n_users, report.n_items) == (15_449, 11_953)
    assert report.n_pairs == {"view": 873_954, "cart": 195_476, "buy": 92_180}
    assert report.n_test == {"buy": 15_449}
    split = load_split(tmp_path / "ds")
    assert (split.candidates["test", "buy", 0].all >= 0).all()
