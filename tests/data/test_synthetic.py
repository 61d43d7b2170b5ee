"""The planted structure must be there: exact sizes, order, tastes that beat popularity."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from cigf.data.dataset import build_matrix, pair_keys
from cigf.data.synthetic import SHELVES, checkerboard, generate_log
from cigf.errors import DataError


def make_log(seed=0, n_users=211, n_items=163, n_interactions=9_973, **options):
    generator = np.random.default_rng(seed)
    return generate_log(n_users, n_items, n_interactions, generator=generator, **options)


def test_log_has_the_sizes_asked_for():
    log = make_log()
    assert log.shape == (9_973, 4)
    assert log.columns == ["user_id", "item_id", "behavior", "timestamp"]
    assert log.schema["timestamp"] == pl.Int64
    assert log["user_id"].n_unique() == 211
    assert log["item_id"].n_unique() <= 163
    assert log.null_count().sum_horizontal().item() == 0


def test_log_is_in_the_order_of_time_and_inside_its_days():
    times = make_log(n_days=7)["timestamp"]
    assert times.is_sorted()
    assert times.min() >= 1_735_689_600_000
    month = 30 * 24 * 3600 * 1000
    assert times.max() < 1_735_689_600_000 + month


def test_funnel_narrows():
    counts = dict(make_log()["behavior"].value_counts().iter_rows())
    assert counts["view"] > 2 * counts["cart"] > 3 * counts["buy"] > 0


def test_users_and_items_are_heavy_tailed():
    log = make_log(n_interactions=20_011)
    for column in ("user_id", "item_id"):
        counts = log[column].value_counts()["count"].sort(descending=True)
        busiest = counts.head(len(counts) // 10).sum() / counts.sum()
        assert busiest > 0.2  # the busiest tenth would have 0.1 of the events if all were alike


def test_same_seed_same_log_other_seed_other_log():
    assert make_log(5).equals(make_log(5))
    assert not make_log(5).equals(make_log(6))


@settings(max_examples=40, deadline=None)
@given(
    n_users=st.integers(1, 13),
    n_items=st.integers(1, 97),
    n_interactions=st.integers(1, 60),
    n_behaviors=st.integers(1, 5),
    seed=st.integers(0, 5),
)
def test_any_size_gives_exactly_that_many_rows(n_users, n_items, n_interactions, n_behaviors, seed):
    names = [f"b{k}" for k in range(n_behaviors)]
    log = generate_log(
        n_users, n_items, n_interactions, names, generator=np.random.default_rng(seed)
    )
    assert len(log) == n_interactions
    assert set(log["behavior"]) <= set(names)
    assert log["user_id"].n_unique() <= n_users
    assert log["item_id"].n_unique() <= n_items


def test_a_funnel_step_never_precedes_the_view_it_began_with():
    log = make_log(n_users=3, n_interactions=401)
    both = log.pivot(
        on="behavior", index=["user_id", "item_id"], values="timestamp", aggregate_function="min"
    ).drop_nulls(["view", "cart"])
    # Most first carts follow a first view; those before it belong to a visit without a view.
    assert (both["cart"] > both["view"]).mean() > 0.7


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 3, 5), "0 users asked for"),
        ((2, 0, 5), "0 items asked for"),
        ((2, 3, -1), "-1 interactions asked for"),
    ],
)
def test_sizes_below_one_are_refused(sizes, message):
    with pytest.raises(DataError, match=message):
        generate_log(*sizes, generator=np.random.default_rng(0))


def test_a_repeated_behavior_is_refused():
    with pytest.raises(DataError, match="buy given more than once"):
        make_log(behaviors=["buy", "buy"])


def test_more_shelves_than_names_get_numbered_names():
    ids = make_log(n_items=40 * 26, n_interactions=20_011)["item_id"]
    shelves = set(ids.str.split("-").list.first())
    assert set(SHELVES) <= shelves
    assert {SHELVES[0] + "2", SHELVES[1] + "2"} <= shelves


def last_buys(log):
    """Hold out each user's last purchase; return users, items, and training matrices."""
    codes = log.with_columns(
        pl.col("user_id").rank("dense").cast(pl.Int64).alias("user") - 1,
        pl.col("item_id").rank("dense").cast(pl.Int64).alias("item") - 1,
    )
    shape = (codes["user"].max() + 1, codes["item"].max() + 1)
    buys = codes.filter(pl.col("behavior") == "buy")
    test = buys.unique("user", keep="last", maintain_order=True)
    rest = buys.join(test, on=["user", "item"], how="anti")
    other = codes.filter(pl.col("behavior") != "buy")
    matrices = [
        build_matrix(t["user"].to_numpy(), t["item"].to_numpy(), shape) for t in (rest, other)
    ]
    return test["user"].to_numpy(), test["item"].to_numpy(), *matrices


def hit_rate(scores, users, items, hidden, k=10):
    """HR@k of some held-out pairs among the items that are not hidden, ties lost."""
    eligible = ~hidden[users]
    own = scores[users, items][:, None]
    return float((((scores[users] >= own) & eligible).sum(axis=1) <= k).mean())


def similarity(matrix: csr_array):
    dense = matrix.toarray()
    degree = np.maximum(dense.sum(axis=0), 1)
    return dense @ (dense.T @ dense / np.sqrt(np.outer(degree, degree)))


def test_behaviors_together_beat_purchases_alone_and_popularity_on_new_items():
    log = make_log(seed=3, n_users=1_009, n_items=499, n_interactions=40_009)
    users, items, buys, other = last_buys(log)
    hidden = (buys + other).toarray() > 0
    new = ~hidden[users, items]
    users, items = users[new], items[new]
    assert len(users) > 80
    popularity = np.tile(buys.toarray().sum(axis=0), (buys.shape[0], 1))
    together = hit_rate(similarity(((buys + other) > 0).astype(float)), users, items, hidden)
    alone = hit_rate(similarity(buys) + 1e-6 * popularity, users, items, hidden)
    popular = hit_rate(popularity, users, items, hidden)
    assert together > alone + 0.05
    assert alone > popular + 0.05
    assert together > 4 * popular


@pytest.mark.parametrize(("n_users", "n_items", "n_groups"), [(13, 17, 2), (7, 11, 3), (5, 3, 1)])
def test_checkerboard_by_hand(n_users, n_items, n_groups):
    split = checkerboard(n_users, n_items, ["view", "buy"], n_groups)
    held_out = split.test["buy"]
    board = np.zeros((n_users, n_items))
    for user in range(n_users):
        answer = held_out.items[user]
        assert answer % n_groups == user % n_groups
        for item in range(n_items):
            same_color = item % n_groups == user % n_groups
            board[user, item] = same_color and item != answer
    for matrix in split.train.interactions:
        np.testing.assert_array_equal(matrix.toarray(), board)
    assert held_out.users.tolist() == list(range(n_users))
    assert split.train.touched().nnz == 0
    assert split.history("test").fingerprint == split.train.fingerprint


def test_checkerboard_withholds_different_items_of_a_color():
    items = checkerboard(13, 17).test["buy"].items
    assert len(set(items.tolist())) == 13


def test_checkerboard_ids_sort_like_rows():
    train = checkerboard(13, 17).train
    assert train.users.ids.is_sorted()
    assert train.items.ids.is_sorted()
    assert pair_keys(train.target).max() < 13 * 17


def test_checkerboard_needs_two_items_per_color():
    with pytest.raises(DataError, match="5 items for 3 colors"):
        checkerboard(7, 5, n_groups=3)
