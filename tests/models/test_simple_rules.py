from functools import partial

import numpy as np
import polars as pl
import pytest
import torch

from cigf.data.behaviors import Behaviors
from cigf.data.dataset import Dataset, build_matrix
from cigf.data.dataset_store import load_split
from cigf.data.ids import IdMap
from cigf.data.imports import import_release
from cigf.data.options import PrepareOptions
from cigf.data.prepare import prepare
from cigf.evaluation import evaluate, lookup
from cigf.models.popularity import exact_type, popularity_factors
from cigf.models.touched_first import touched_first_factors
from cigf.ranking import rank_counts, top_k

SHAPE = (3, 7)
# Items 5 and 1 are bought twice, 4 once.
BUYS = [(0, 5), (1, 5), (0, 1), (2, 1), (1, 4)]
CARTS = [(2, 0), (2, 6)]
VIEWS = [(2, 6), (2, 2), (2, 4), (2, 1), (0, 3)]


@pytest.fixture
def history():
    def matrix(pairs):
        users, items = np.array(pairs).T
        return build_matrix(users, items, SHAPE)

    return Dataset(
        Behaviors(("view", "cart", "buy")),
        IdMap(pl.Series(range(SHAPE[0])), "user"),
        IdMap(pl.Series(range(SHAPE[1])), "item"),
        (matrix(VIEWS), matrix(CARTS), matrix(BUYS)),
        (None, None, None),
    )


def order(factors, user):
    return top_k(factors, np.array([user]), SHAPE[1])[0][0].tolist()


def test_popularity_is_one_order_for_everyone(history):
    factors = popularity_factors(history, 2)
    assert order(factors, 0) == order(factors, 2) == [1, 5, 4, 0, 2, 3, 6]


def test_popularity_of_another_behavior(history):
    assert order(popularity_factors(history, 1), 0) == [0, 6, 1, 2, 3, 4, 5]


def test_touched_first_goes_from_deep_to_shallow_to_popular(history):
    # User 2: 6 carted and viewed, 0 carted, 4 and 2 viewed (4 more popular); 1 is bought already.
    assert order(touched_first_factors(history, 2), 2) == [6, 0, 4, 2, 1, 5, 3]
    assert order(touched_first_factors(history, 2), 1) == [1, 5, 4, 0, 2, 3, 6]


def test_touched_first_for_another_behavior_looks_at_all_others(history):
    # For carts, buying stands over viewing: user 2 has bought (and viewed) 1, and viewed 2 and 4.
    assert order(touched_first_factors(history, 1), 2)[:3] == [1, 2, 4]


def test_scores_stay_whole_numbers_that_are_told_apart():
    assert exact_type(11_953 * 4) is torch.float32
    assert exact_type(1 << 24) is torch.float64


@pytest.fixture(scope="module")
def taobao(data_folder, tmp_path_factory):
    folder = data_folder / "taobao15k"
    out = tmp_path_factory.mktemp("taobao") / "dataset"
    prepare(folder / "events.csv.gz", out, PrepareOptions(), folder / "test.csv")
    return load_split(out)


@pytest.fixture(scope="module")
def beibei(data_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("beibei") / "dataset"
    import_release("mbgmn", data_folder / "beibei-buy", out)
    return load_split(out)


def figures(split, factors_of):
    """HR@10 and NDCG@10, 1+99 first, then full."""
    factors = factors_of(split.history("test"), split.train.behaviors.target)
    means = evaluate(partial(rank_counts, factors), split, ks=(10,)).means()
    return [
        lookup(means, f"{metric}@10/{protocol}")
        for protocol in ("1+99", "full")
        for metric in ("hr", "ndcg")
    ]


@pytest.mark.data
@pytest.mark.parametrize(
    ("data", "factors_of", "published"),
    [
        ("taobao", popularity_factors, [0.299, 0.163, 0.011, 0.006]),
        ("taobao", touched_first_factors, [0.901, 0.820, 0.272, 0.137]),
        ("beibei", popularity_factors, [0.605, 0.341, 0.034, 0.022]),
    ],
)
def test_published_figures(request, data, factors_of, published):
    # The published candidates are other draws, and may hold the item that is looked for.
    split = request.getfixturevalue(data)
    np.testing.assert_allclose(figures(split, factors_of), published, atol=0.005)
