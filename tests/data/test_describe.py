"""Counts against slow, obvious ones."""

import json
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cigf.data.behaviors import Behaviors
from cigf.data.dataset import Dataset, build_matrix, pair_rows
from cigf.data.describe import describe
from cigf.data.ids import IdMap
from cigf.data.splitting import HeldOut, Split
from cigf.data.synthetic import checkerboard

N_USERS, N_ITEMS = 5, 7
NAMES = ("view", "cart", "buy")


def make_dataset(pairs, names=NAMES, times=None):
    """Build a dataset from one set of (user, item) per behavior."""
    arrays = [np.array(sorted(own), dtype=np.int64).reshape(-1, 2) for own in pairs]
    return Dataset(
        Behaviors(tuple(names)),
        IdMap(pl.Series(range(N_USERS)), "user"),
        IdMap(pl.Series(range(N_ITEMS)), "item"),
        tuple(build_matrix(own[:, 0], own[:, 1], (N_USERS, N_ITEMS)) for own in arrays),
        times or (None,) * len(names),
    )


VIEWS = {(0, 1), (0, 2), (0, 3), (1, 1), (2, 6)}
CARTS = {(0, 1), (2, 6), (3, 0)}
BUYS = {(0, 1), (3, 0), (3, 5)}


def test_by_hand():
    described = describe(make_dataset([VIEWS, CARTS, BUYS]))
    assert (described.n_users, described.n_items, described.split) == (5, 7, "")
    assert described.behavior_names == ["view", "cart", "buy"]
    view, cart, buy = described.behaviors.to_dicts()
    assert (view["n_pairs"], cart["n_pairs"], buy["n_pairs"]) == (5, 3, 3)
    assert view["density"] == 5 / 35
    assert (view["n_users"], view["n_items"]) == (3, 4)
    assert (view["mean_per_user"], view["median_per_user"], view["max_per_user"]) == (1.0, 1.0, 3)
    assert (view["target_share"], view["share_of_target"]) == (1 / 5, 1 / 3)
    assert (cart["target_share"], cart["share_of_target"]) == (2 / 3, 2 / 3)
    assert (buy["target_share"], buy["share_of_target"]) == (1.0, 1.0)
    assert view["first"] is None
    assert described.held_out.height == 0
    views = described.activity.filter(pl.col("behavior") == "view")
    assert dict(views.select("n_interactions", "n_users").iter_rows()) == {0: 2, 1: 2, 3: 1}


def slow_overlaps(pairs, names):
    """Look at every pair and every subset of behaviors, one at a time."""
    counts = {}
    for size in range(1, len(names) + 1):
        for subset in combinations(range(len(names)), size):
            exact = [
                pair
                for pair in set().union(*pairs)
                if {k for k in range(len(names)) if pair in pairs[k]} == set(subset)
            ]
            text = " + ".join(names[k] for k in subset)
            counts[text] = (len(exact), len({user for user, _ in exact}))
    return counts


pair_sets = st.sets(
    st.tuples(st.integers(0, N_USERS - 1), st.integers(0, N_ITEMS - 1)), max_size=20
)


@settings(max_examples=50, deadline=None)
@given(pairs=st.lists(pair_sets, min_size=1, max_size=4))
def test_overlaps_equal_the_slow_count(pairs):
    names = [f"b{k}" for k in range(len(pairs))]
    table = describe(make_dataset(pairs, names)).overlaps
    found = {row["subset"]: (row["n_pairs"], row["n_users"]) for row in table.to_dicts()}
    assert found == slow_overlaps(pairs, names)
    for row in table.to_dicts():
        assert row["subset"] == " + ".join(name for name in names if row[name])


@settings(max_examples=30, deadline=None)
@given(pairs=st.lists(pair_sets, min_size=1, max_size=3))
def test_activity_counts_every_user_once_per_behavior(pairs):
    names = [f"b{k}" for k in range(len(pairs))]
    dataset = make_dataset(pairs, names)
    activity = describe(dataset).activity
    for name, own in zip(names, pairs, strict=True):
        table = activity.filter(pl.col("behavior") == name)
        assert table["n_users"].sum() == N_USERS
        assert (table["n_users"] * table["n_interactions"]).sum() == len(own)


def test_many_behaviors_list_only_subsets_that_occur():
    pairs = [{(k % N_USERS, k % N_ITEMS), (0, 0)} for k in range(7)]
    table = describe(make_dataset(pairs, [f"b{k}" for k in range(7)])).overlaps
    assert (table["n_pairs"] > 0).all()
    assert table["n_pairs"].sum() == len(set().union(*pairs))


def test_no_memory_is_kept_for_subsets_that_do_not_occur():
    pairs = [{(k % N_USERS, k % N_ITEMS), (0, 0)} for k in range(40)]  # 2^40 subsets
    table = describe(make_dataset(pairs, [f"b{k}" for k in range(40)])).overlaps
    assert table["n_pairs"].sum() == len(set().union(*pairs))
    everything = table.filter(pl.col("subset").str.count_matches("b") == 40)
    assert everything["n_users"].to_list() == [1]


def test_times_give_the_range():
    times = [np.arange(len(own)) * 86_400_000 + 1_735_689_600_000 for own in (VIEWS, CARTS)]
    described = describe(make_dataset([VIEWS, CARTS, BUYS], times=(*times, None)))
    view, cart, buy = described.to_json()["behaviors"]
    assert (view["first"], view["last"]) == ("2025-01-01T00:00:00Z", "2025-01-05T00:00:00Z")
    assert cart["last"] == "2025-01-03T00:00:00Z"
    assert buy["first"] is None


def test_a_split_counts_what_is_withheld_and_lists_what_is_held_out():
    train = make_dataset([VIEWS, CARTS, BUYS])
    withheld = make_dataset([set(), set(), {(4, 2)}]).interactions
    valid = {"buy": HeldOut(np.array([4]), np.array([2]))}
    test = {"buy": HeldOut(np.array([0, 0, 3]), np.array([2, 3, 6]))}
    described = describe(Split(train, withheld, valid, test, {}, "by hand"))
    assert described.behaviors["n_pairs"].to_list() == [5, 3, 4]
    assert described.split == "by hand"
    assert described.held_out.rows() == [("valid", "buy", 1, 1), ("test", "buy", 3, 2)]


def test_json_is_plain():
    text = json.dumps(describe(checkerboard(7, 11)).to_json())
    assert json.loads(text)["n_items"] == 11


@pytest.mark.parametrize("empty", [[set(), set(), set()]])
def test_a_dataset_without_pairs(empty):
    described = describe(make_dataset(empty))
    assert described.behaviors["density"].to_list() == [0.0, 0.0, 0.0]
    assert described.behaviors["share_of_target"].to_list() == [0.0, 0.0, 0.0]
    assert described.overlaps["n_pairs"].sum() == 0


@pytest.mark.data
def test_real_taobao(data_folder):
    log = pl.read_csv(data_folder / "taobao15k" / "events.csv.gz")
    users, items = log["user_id"].unique().sort(), log["item_id"].unique().sort()
    shape = (len(users), len(items))
    rows = log["user_id"].rank("dense").cast(pl.Int64) - 1
    columns = log["item_id"].rank("dense").cast(pl.Int64) - 1
    matrices = []
    for name in NAMES:
        own = (log["behavior"] == name).to_numpy()
        matrices.append(build_matrix(rows.to_numpy()[own], columns.to_numpy()[own], shape))
    dataset = Dataset(
        Behaviors(NAMES),
        IdMap(users, "user"),
        IdMap(items, "item"),
        tuple(matrices),
        (None,) * 3,
    )
    assert describe(dataset).behaviors["n_pairs"].to_list() == [873_954, 195_476, 92_180]
    assert len(pair_rows(matrices[-1])) == 92_180
