"""The planted structure must be there: exact sizes, order, tastes that beat popularity."""

import threading

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from cigf.data.dataset import build_matrix, pair_keys
from cigf.data.shop import SHELVES, Shop
from cigf.data.synthetic import checkerboard, generate_log, stream_log
from cigf.errors import DataError
from cigf.seeding import numpy_generator


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


def pieces_of(n_events=9_973, seed=3, period=997, n_users=211, n_items=163):
    return list(stream_log(n_users, n_items, n_events, seed=seed, period=period))


def test_a_log_of_one_period_is_that_of_one_draw():
    (piece,) = pieces_of(period=10_000)
    assert piece.equals(generate_log(211, 163, 9_973, generator=numpy_generator(3, "generate")))


def test_a_log_of_many_periods_comes_in_the_order_of_time():
    pieces = pieces_of()
    log = pl.concat(pieces)
    assert len(pieces) == 11
    assert log.height == 9_973
    assert log["timestamp"].is_sorted()
    assert log["user_id"].n_unique() == 211
    days = (log["timestamp"].max() - log["timestamp"].min()) / (24 * 3600 * 1000)
    assert 60 < days < 90


def test_late_events_of_a_period_come_among_those_of_the_next():
    drawn = [piece["timestamp"] for piece in pieces_of()]
    day = 24 * 3600 * 1000
    # Periods of six days: each piece but the last ends before the next period begins.
    for number, times in enumerate(drawn[:-1]):
        assert times.max() < 1_735_689_600_000 + 6 * (number + 1) * day
    # Each period has 906 events, but those that come late are in a later piece.
    assert drawn[0].len() < 906
    assert sum(map(len, drawn)) == 9_973


def test_newcomers_of_each_period_come_in_it():
    first = pieces_of()[0]
    assert {f"u{user:03d}" for user in range(1, 20)} - set(first["user_id"]) == set()


def test_a_long_log_depends_on_its_seed_alone():
    logs = [pl.concat(pieces_of(n_events=3_001, seed=seed)) for seed in (3, 3, 4)]
    assert logs[0].equals(logs[1])
    assert not logs[0].equals(logs[2])


def test_a_long_log_keeps_its_planted_shape():
    log = pl.concat(pieces_of(n_events=20_011))
    counts = dict(log["behavior"].value_counts().iter_rows())
    assert counts["view"] > 2 * counts["cart"] > 3 * counts["buy"] > 0
    two = log.group_by("user_id", pl.col("item_id").str.split("-").list.first()).len()
    shares = two.group_by("user_id").agg(pl.col("len").top_k(2).sum() / pl.col("len").sum())
    # 4 shelves: without tastes, two of them would have about half of a user's events.
    assert shares["len"].mean() > 0.7


def test_stopping_early_leaves_no_thread_behind():
    before = threading.active_count()
    pieces = stream_log(211, 163, 50_000, seed=0, period=997)
    next(pieces), next(pieces)
    pieces.close()
    assert threading.active_count() == before


def test_shelves_of_a_large_catalog_are_larger():
    shop = Shop(3, 40_000, 2)
    ids = shop.item_ids
    shelves = ids.str.split("-").list.first().n_unique()
    assert shelves == 500  # of 80 items each, twice as many as on those of a small one
    assert ids.n_unique() == 40_000
    assert ids[0] == "books-01"


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
