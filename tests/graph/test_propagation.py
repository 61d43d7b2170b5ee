"""Normalized propagation, mixing and own graphs against einsum over dense matrices."""

import numpy as np
import pytest
import torch

from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.propagation import Propagation
from cigf.shapes import Nodes
from cigf.testing.toy import random_matrices
from reference.cigf import adjacency

U, I, B, C, D, H = 7, 11, 3, 2, 5, 4  # noqa: E741  # the axis legend's letters
NORMALIZATIONS = ["row", "column", "symmetric", "none"]


def setup(normalization, users=None):
    matrices = random_matrices(n_users=U, n_items=I, n_behaviors=B)
    dense = np.stack([adjacency(m, normalization) for m in matrices])
    step = Propagation(BehaviorGraph.build(matrices), normalization, users)
    x = torch.randn(U + I, C, B, D, requires_grad=True)
    return torch.from_numpy(dense).float(), step, x


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("users", [None, [4, 0, 6]])
def test_mix_is_the_weighted_sum_over_graphs(normalization, users):
    chosen = None if users is None else torch.tensor(users)
    dense, step, x = setup(normalization, chosen)
    rows = torch.cat([torch.arange(U) if chosen is None else chosen, torch.arange(U, U + I)])
    weights = torch.randn(len(rows), H, B, B, requires_grad=True)
    n_users = len(rows) - I
    out = step.mix(Nodes(x[:U], x[U:]), Nodes(weights[:n_users], weights[n_users:]))
    found = torch.cat([out.users, out.items])
    propagated = torch.einsum("brn,nckd->rckdb", dense[:, rows], x)
    expected = torch.einsum("rckdb,rhkb->rhckd", propagated, weights).flatten(1, 2)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    upstream = torch.randn_like(found)
    mine = torch.autograd.grad(found, (x, weights), upstream)
    theirs = torch.autograd.grad(expected, (x, weights), upstream)
    for gradient, expected_gradient in zip(mine, theirs, strict=True):
        torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("users", [None, [4, 0, 6]])
@pytest.mark.parametrize("shared", [True, False])
def test_own_keeps_every_chain_in_its_graph(normalization, users, shared):
    chosen = None if users is None else torch.tensor(users)
    dense, step, x = setup(normalization, chosen)
    if shared:
        x = x[:, :, :1].detach().requires_grad_()
    rows = torch.cat([torch.arange(U) if chosen is None else chosen, torch.arange(U, U + I)])
    out = step.own(Nodes(x[:U], x[U:]))
    found = torch.cat([out.users, out.items])
    expected = torch.einsum("krn,nckd->rckd", dense[:, rows], x.expand(-1, -1, B, -1))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    upstream = torch.randn_like(found)
    (mine,) = torch.autograd.grad(found, x, upstream)
    (theirs,) = torch.autograd.grad(expected, x, upstream)
    torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_nodes_without_edges_receive_zeros():
    _, step, x = setup("row")
    out = step.own(Nodes(x[:U], x[U:]))
    assert (out.users[0] == 0).all()
    assert (out.items[0] == 0).all()
    assert out.users[1].abs().sum() > 0
