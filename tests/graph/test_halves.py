"""Sums of half-precision rows against sums of rows that NumPy rounded."""

import numpy as np
import pytest
import torch

from cigf.graph import halves
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.propagation import Propagation
from cigf.shapes import Nodes
from cigf.testing.toy import random_matrices
from reference.cigf import adjacency

U, I, B, D = 37, 53, 3, 16  # noqa: E741  # the axis legend's letters


@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e12])
def test_a_table_is_rounded_as_numpy_rounds_it(scale):
    x = scale * torch.randn(29, 24)
    found, factor = halves.rounded(x)
    expected = (x.numpy() * np.float32(factor)).astype(np.float16)
    np.testing.assert_array_equal(found.numpy().view(np.float16), expected)
    assert np.log2(factor) == round(np.log2(factor))
    assert 2**14 < np.abs(expected).max() <= 2**15
    assert halves.largest(x) == pytest.approx(float(x.abs().max()))


@pytest.mark.parametrize("odd", [0.0, float("inf"), float("nan")])
def test_tables_without_a_largest_number_are_left_at_their_scale(odd):
    assert halves.factor_for(odd) == 1.0
    found, factor = halves.rounded(torch.full((3, 8), odd))
    assert factor == 1.0
    np.testing.assert_array_equal(found.numpy().view(np.float16), np.float16(odd))


def test_an_empty_table_has_no_largest_number():
    assert halves.largest(torch.empty(0, 8)) == 0.0


@pytest.mark.parametrize("normalization", ["row", "symmetric"])
@pytest.mark.parametrize("shared", [True, False])
def test_propagation_in_halves_is_that_of_rounded_rows(normalization, shared):
    matrices = random_matrices(n_users=U, n_items=I, n_behaviors=B)
    dense = torch.from_numpy(np.stack([adjacency(m, normalization) for m in matrices])).float()
    x = torch.randn(U + I, 1, 1 if shared else B, D, requires_grad=True)
    weights = torch.randn(U + I, 1, B, B, requires_grad=True)
    graph = BehaviorGraph.build(matrices)
    found, mine = [], []
    for each in (graph, graph.in_halves()):
        step = Propagation(each, normalization)
        own = step.own(Nodes(x[:U], x[U:]))
        mixed = step.mix(own, Nodes(weights[:U], weights[U:]))
        out = torch.cat([mixed.users, mixed.items])
        found.append(out)
        mine.append(torch.autograd.grad(out, (x, weights), torch.ones_like(out)))
    assert not torch.equal(*found)
    for first, second in zip((found[0], *mine[0]), (found[1], *mine[1]), strict=True):
        torch.testing.assert_close(
            second, first, rtol=0, atol=2e-3 * first.detach().abs().max().item()
        )
    if normalization == "row" and shared:  # the rows themselves are what is rounded and sent
        bits, factor = halves.rounded(x.detach())
        rounded = torch.from_numpy(bits.numpy().view(np.float16).astype(np.float32)) / factor
        own = Propagation(graph.in_halves(), normalization).own(Nodes(x[:U], x[U:]))
        expected = torch.einsum("krn,nd->rkd", dense, rounded[:, 0, 0])
        # Each side's table has a factor of its own, which changes no bit of a power of two.
        torch.testing.assert_close(torch.cat([own.users, own.items])[:, 0], expected)


def test_rows_that_fill_no_registers_are_sent_as_they_are():
    matrices = random_matrices(n_users=U, n_items=I, n_behaviors=B)
    x = torch.randn(U + I, 1, 1, 5)
    graph = BehaviorGraph.build(matrices)
    found = [Propagation(g, "row").own(Nodes(x[:U], x[U:])) for g in (graph, graph.in_halves())]
    assert torch.equal(found[0].users, found[1].users)
