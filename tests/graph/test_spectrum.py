"""The spectrum: what its coordinates add up to, and what names have no part in."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from cigf.graph.spectrum import item_coordinates


def normalized(y):
    users, items = (np.maximum(y.sum(axis), 1e-9) ** -0.5 for axis in (1, 0))
    return users[:, None] * y * items


def random_matrix(n_users, n_items, seed=0):
    generator = np.random.default_rng(seed)
    return generator.poisson(0.2, (n_users, n_items)) * generator.integers(1, 3, n_items)


@pytest.mark.parametrize("shape", [(20, 12), (90, 130), (150, 80)])
def test_products_of_coordinates_are_the_best_of_their_rank(shape):
    y = random_matrix(*shape).astype(float)
    found = item_coordinates(csr_array(y), 5)
    _, values, vectors = np.linalg.svd(normalized(y))
    expected = vectors[:5].T * values[:5] @ vectors[:5]
    np.testing.assert_allclose(found @ found.T, expected, atol=1e-5)
    assert ((found.astype(np.float64) ** 3).sum(0) >= 0).all()


def test_names_of_users_and_items_do_not_matter():
    y = random_matrix(90, 130)
    users, items = (np.random.default_rng(1).permutation(n) for n in y.shape)
    found = item_coordinates(csr_array(y), 4)
    renamed = item_coordinates(csr_array(y[users][:, items]), 4)
    np.testing.assert_allclose(renamed, found[items], atol=1e-5)


def test_directions_that_are_not_there_are_zero():
    y = np.outer(np.arange(1, 8), np.arange(1, 6))
    found = item_coordinates(csr_array(y), 9)
    assert found.shape == (5, 9)
    np.testing.assert_allclose(found[:, 0], np.sqrt(np.arange(1, 6) / 15), rtol=1e-6)
    assert (found[:, 1:] == 0).all()


@pytest.mark.parametrize("n", [0, 3])
def test_without_interactions_or_coordinates_there_is_nothing(n):
    assert item_coordinates(csr_array((4, 6)), n).tolist() == [[0.0] * n] * 6


@pytest.mark.parametrize("shape", [(20, 12), (90, 130)])
def test_no_coordinates_are_none(shape):
    assert item_coordinates(csr_array(random_matrix(*shape)), 0).shape == (shape[1], 0)
