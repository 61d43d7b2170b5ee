"""Models that are computed in one go keep their contract and equal their dense twins."""

import sys
from functools import partial
from typing import ClassVar

import numpy as np
import pytest
import torch

from cigf.data.dataset import build_matrix
from cigf.errors import ConfigError, MissingExtraError
from cigf.graph.bipartite import BehaviorGraph
from cigf.models.base import Sizes
from cigf.models.direct import depth_weights
from cigf.models.registry import build_model, check_model, parse_model_config
from cigf.models.touched_first import conversion_order, touched_first_factors
from cigf.ranking import SparseScorer
from cigf.testing import DirectContract
from cigf.testing.toy import all_scores, random_matrices, toy_dataset
from reference import direct as reference


class TestPopularity(DirectContract):
    name = "popularity"
    personal: ClassVar = False
    by_number: ClassVar = True

    def dense_scores(self, model, matrices, behavior):
        return reference.popularity_scores(matrices, behavior)


class TestTouchedFirst(DirectContract):
    name = "touched-first-conversion"
    personal: ClassVar = False  # it only knows what a user has touched
    by_number: ClassVar = True

    def dense_scores(self, model, matrices, behavior):
        return reference.conversion_scores(matrices, behavior, 10)


class TestItemKNN(DirectContract):
    name = "item-knn"

    def dense_scores(self, model, matrices, behavior):
        return reference.knn_scores(matrices, 200, True)


class TestEASE(DirectContract):
    name = "ease"
    options: ClassVar = {"l2": 2.0}

    def dense_scores(self, model, matrices, behavior):
        return reference.ease_scores(matrices, 2.0)


class TestIALS(DirectContract):
    name = "ials"
    options: ClassVar = {"embedding_size": 5}
    by_number: ClassVar = True


class TestBPRMF(DirectContract):
    name = "bpr-mf"
    options: ClassVar = {"embedding_size": 5, "learning_rate": 0.1, "iterations": 60}
    by_number: ClassVar = True


def fitted(name, matrices, **options):
    config = parse_model_config(name, options)
    model = build_model(name, config, Sizes(*matrices[0].shape, len(matrices)), 0)
    model.fit(BehaviorGraph.build(matrices), 0, lambda: None)
    return model


def test_touched_first_is_the_rule_of_the_tables():
    matrices = random_matrices()
    model = fitted("touched-first", matrices)
    for behavior in range(3):
        rule = touched_first_factors(toy_dataset(matrices), behavior)
        assert (all_scores(model, matrices, behavior) == rule.block(torch.arange(7)).numpy()).all()


def test_conversion_by_hand():
    # Views 4, 1, 4 and purchases 3, 1, 0: rates 3/4, 1 and 0, their mean 4/9. With ten views of
    # the mean rate more, one purchase after one view is no longer the best: 7.4/14 and 5.4/11.
    views = [(u, i) for u in range(4) for i in (0, 2)] + [(0, 1)]
    buys = [(1, 0), (2, 0), (3, 0), (4, 1)]
    matrices = [build_matrix(*np.array(pairs).T, (5, 3)) for pairs in (views, buys)]
    for prior, expected in ((0.0, [1, 0, 2]), (10.0, [0, 1, 2])):
        model = fitted("touched-first-conversion", matrices, prior=prior)
        assert np.argsort(-all_scores(model, matrices, 1)[0]).tolist() == expected


@pytest.mark.parametrize("prior", [0.2, 1.0, 10.0])
def test_an_item_without_views_has_the_mean_rate(prior):
    # Views 0, 10, 10 and purchases 0, 4, 1: rates none, 4/10 and 1/10, their mean 5/20.
    views = [(u, i) for u in range(10) for i in (1, 2)]
    buys = [(u, 1) for u in range(4)] + [(0, 2)]
    matrices = [build_matrix(*np.array(pairs).T, (10, 3)) for pairs in (views, [(0, 0)], buys)]
    assert conversion_order(matrices, 2, prior).tolist() == [1, 2, 0]


@pytest.mark.parametrize(("n", "with_itself"), [(3, False), (100, True)])
def test_neighbors_by_brute_force(n, with_itself):
    matrices = random_matrices()
    model = fitted("item-knn", matrices, n_neighbors=n, with_itself=with_itself)
    expected = reference.knn_scores(matrices, n, with_itself)
    np.testing.assert_allclose(all_scores(model, matrices), expected, rtol=1e-5, atol=1e-6)


def test_similar_items_are_the_neighbors():
    matrices = random_matrices()
    cosines = reference.cosines(reference.weighted(matrices))
    found = fitted("item-knn", matrices, n_neighbors=11).similar_items(4).numpy()
    cosines[4, 4] = 0.0
    np.testing.assert_allclose(found, cosines[4], rtol=1e-5, atol=1e-6)
    assert fitted("ease", matrices).similar_items(4)[4] == 0
    assert fitted("ials", matrices, embedding_size=3).similar_items(4) is None
    with pytest.raises(ConfigError, match="Popularity knows no similarity of items"):
        fitted("popularity", matrices).similar_items(4)


def test_weights_grow_with_depth():
    assert depth_weights((), 4) == (1.0, 3.0, 5.0, 7.0)
    assert depth_weights((2.0, 1.0), 2) == (2.0, 1.0)


def test_ials_lowers_its_loss():
    # The loss over all pairs, by hand; the library's alternation must lower it.
    matrices = random_matrices()
    w = reference.weighted(matrices)
    losses = []
    for iterations in (1, 15):
        model = fitted("ials", matrices, embedding_size=3, iterations=iterations, l2=0.1)
        scores = all_scores(model, matrices)
        errors = np.maximum(w, 1.0) * ((w > 0) - scores) ** 2
        penalty = (model.user_factors**2).sum() + (model.item_factors**2).sum()
        losses.append(errors.sum() + 0.1 * float(penalty))
    assert losses[1] < losses[0]


def test_what_does_not_fit_is_refused():
    dataset = toy_dataset(random_matrices())
    refused = partial(pytest.raises, ConfigError)
    for name in ("item-knn", "ease", "ials"):
        with refused(match=r"model\.behavior_weights: 2 values for 3 behaviors"):
            check_model(name, parse_model_config(name, {"behavior_weights": (1, 2)}), dataset)
    with refused(match=r"11 items need .* GB .* model\.most_items = 10 are allowed"):
        check_model("ease", parse_model_config("ease", {"most_items": 10}), dataset)
    with refused(match="several behaviors"):
        single = toy_dataset(random_matrices(n_behaviors=1))
        check_model("touched-first", parse_model_config("touched-first", {}), single)


def bundled(l2):
    """EASE fitted on two items that always go together, and what it should have found."""
    generator = np.random.default_rng(0)
    done = generator.random((499, 11)) < 0.4
    done[:, 1] = done[:, 0]
    matrices = [build_matrix(*np.nonzero(done), done.shape)] * 3
    w = reference.weighted(matrices)
    inverse = np.linalg.inv(w.T @ w + l2 * np.eye(11))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0.0)
    return fitted("ease", matrices, l2=l2).item_weights.numpy(), expected


@pytest.mark.parametrize("l2", [500.0, 1e-2, 3e-3, 1e-3, 1e-4])
def test_ease_where_single_precision_does_not_do(l2):
    """Its Cholesky factor then does not exist, or is one of rounding errors."""
    found, expected = bundled(l2)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_ease_refuses_what_double_precision_does_not_do_either():
    with pytest.raises(ConfigError, match=r"model\.l2: 1e-12 is too small .*; raise it"):
        bundled(1e-12)


@pytest.mark.parametrize("name", ["ials", "bpr-mf"])
def test_without_the_library_it_says_what_to_install(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "implicit.cpu.als", None)
    dataset = toy_dataset(random_matrices())
    with pytest.raises(MissingExtraError, match=r"needs the package implicit.*'cigf\[classic\]'"):
        check_model(name, parse_model_config(name, {}), dataset)


def test_pairs_of_a_sparse_scorer_are_those_of_its_blocks():
    matrices = random_matrices()
    rows = reference.weighted(matrices).astype(np.float32)
    columns = np.random.default_rng(0).random((11, 11), np.float32)
    sparse = build_matrix(*np.nonzero(rows), rows.shape) * rows
    scorer = SparseScorer(sparse.tocsr(), columns)
    users, items = torch.tensor([3, 6, 0, 3]), torch.tensor([1, 10, 2, 1])
    assert scorer.n_items == 11
    assert scorer.n_users == 7
    found = scorer.pairs(users, items)
    torch.testing.assert_close(found, scorer.block(users)[torch.arange(4), items])
    assert len(scorer.pairs(users[:0], items[:0])) == 0
