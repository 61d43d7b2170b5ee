"""Adjacencies equal dense matrices; a symmetric one has the root of the degrees as eigenvector."""

import numpy as np
import pytest
import torch

from cigf.graph.adjacency import adjacencies
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.powers import mean_of_powers
from cigf.shapes import Nodes
from cigf.testing.toy import random_matrices
from reference import graphs


def nodes(x, n_users=7):
    return Nodes(torch.from_numpy(x[:n_users]).float(), torch.from_numpy(x[n_users:]).float())


@pytest.mark.parametrize("self_loops", [False, True])
@pytest.mark.parametrize("normalization", ["row", "symmetric"])
@pytest.mark.parametrize("name", ["target", "union", "weighted", "per-behavior"])
def test_equal_to_dense_matrices(name, normalization, self_loops):
    matrices = random_matrices()
    graph = BehaviorGraph.build(matrices)
    weights = (0.5, 2.0, 3.0)
    steps = adjacencies(graph, name, normalization, weights, self_loops=self_loops)
    x = np.random.default_rng(0).normal(size=(18, 5))
    dense = graphs.choose(matrices, name, weights)
    assert len(steps) == len(dense)
    normalize = {"row": graphs.by_rows, "symmetric": graphs.symmetric}[normalization]
    for step, a in zip(steps, dense, strict=True):
        a = normalize(a + np.eye(18) if self_loops else a)
        np.testing.assert_allclose(torch.cat(step(nodes(x))), a @ x, 1e-4, 1e-5)
    assert adjacencies(graph, name, normalization, weights, self_loops=self_loops) is steps


def test_a_symmetric_matrix_never_enlarges():
    matrices = random_matrices()
    (step,) = adjacencies(BehaviorGraph.build(matrices), "union", "symmetric")
    degrees = graphs.choose(matrices, "union", ())[0].sum(1)
    root = nodes(np.sqrt(degrees)[:, None])
    torch.testing.assert_close(torch.cat(step(root)), torch.cat(root))
    x = nodes(np.random.default_rng(0).normal(size=(18, 1)))
    assert torch.cat(step(x)).norm() <= torch.cat(x).norm()
    torch.testing.assert_close(torch.cat(mean_of_powers([step], root, 4))[1:7], root.users[1:])


@pytest.mark.parametrize("name", ["target", "weighted", "per-behavior"])
def test_the_gradient_of_the_mean_of_powers_is_that_of_its_terms(name):
    steps = adjacencies(BehaviorGraph.build(random_matrices()), name, "symmetric")
    start, weights = (np.random.default_rng(seed).normal(size=(18, 5)) for seed in (0, 1))
    weight = torch.cat(nodes(weights))
    x = nodes(start).map(lambda side: side.requires_grad_())
    found = torch.cat(mean_of_powers(steps, x, 2))
    powers = [x]
    for _ in range(2):
        several = [step(powers[-1]) for step in steps]
        powers.append(Nodes(*(sum(side) / len(steps) for side in zip(*several, strict=True))))
    expected = sum(torch.cat(power) for power in powers) / 3
    torch.testing.assert_close(found, expected)
    gradient = torch.autograd.grad((weight * found).sum(), x)
    torch.testing.assert_close(gradient, torch.autograd.grad((weight * expected).sum(), x))
