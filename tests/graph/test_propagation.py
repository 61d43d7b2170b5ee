"""Normalized propagation, mixing and own graphs against einsum over dense matrices."""

import numpy as np
import pytest
import torch

from cigf import compiled
from cigf.compiled import switched
from cigf.graph import cpu_sums, propagation
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.propagation import Propagation, mix_side
from cigf.graph.stack import Stack
from cigf.shapes import Nodes
from cigf.testing.toy import random_matrices
from interpreted import OLD_TRITON, interpreted
from reference.cigf import adjacency

U, I, B, C, D, H = 7, 11, 3, 2, 5, 4  # noqa: E741  # the axis legend's letters
NORMALIZATIONS = ["row", "column", "symmetric", "none"]

pytestmark = OLD_TRITON


@pytest.fixture(params=["compiled", "torch", "gpu"], autouse=True)
def backend(request, monkeypatch):
    """The CPU's kernels, PyTorch's operations, and the GPU's kernels, interpreted on the CPU."""
    if request.param == "gpu":
        interpreted(monkeypatch)
    with switched(on=request.param != "torch"):
        yield request.param


def setup(normalization, users=None, size=D):
    matrices = random_matrices(n_users=U, n_items=I, n_behaviors=B)
    dense = np.stack([adjacency(m, normalization) for m in matrices])
    step = Propagation(BehaviorGraph.build(matrices), normalization, users)
    x = torch.randn(U + I, C, B, size, requires_grad=True)
    return torch.from_numpy(dense).float(), step, x


@pytest.mark.parametrize(
    ("normalization", "users", "size"),
    [
        *(
            (normalization, users, D)
            for normalization in NORMALIZATIONS
            for users in (None, [4, 0, 6])
        ),
        # Widths C * B * size of 48, 96, 114: one block, two, and two with a rest.
        *(("row", [3, 5], size) for size in (8, 16, 19)),
    ],
)
def test_mix_is_the_weighted_sum_over_graphs(normalization, users, size):
    chosen = None if users is None else torch.tensor(users)
    dense, step, x = setup(normalization, chosen, size)
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
@pytest.mark.parametrize("size", [D, 12])
def test_own_keeps_every_chain_in_its_graph(normalization, users, shared, size):
    chosen = None if users is None else torch.tensor(users)
    dense, step, x = setup(normalization, chosen, size)
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


@pytest.mark.parametrize("users", [None, [4, 0, 6, 1]])
def test_mixing_in_blocks_of_rows_gives_the_same_bits(users, monkeypatch):
    chosen = None if users is None else torch.tensor(users)
    _, step, x = setup("symmetric", chosen)
    weights = Nodes(*(torch.randn(n, H, B, B) for n in (len(users or range(U)), I)))
    nodes = Nodes(x[:U], x[U:])
    whole = step.mix(nodes, weights)
    monkeypatch.setattr(propagation, "BLOCK_ROWS", 3)
    with torch.no_grad():
        blocks = step.mix(nodes, weights)
    assert torch.equal(blocks.users, whole.users)
    assert torch.equal(blocks.items, whole.items)


def test_senders_that_need_no_gradient_are_sent_none(backend, monkeypatch):
    _, step, x = setup("symmetric", torch.tensor([4, 0, 6]))
    weights = Nodes(*(torch.randn(n, H, B, B, requires_grad=True) for n in (3, I)))
    sums, sent = cpu_sums, []
    if backend == "gpu":
        from cigf.graph import gpu_sums as sums
    plain = sums.mix_backward

    def spy(*given, **options):
        found = plain(*given, **options)
        sent.append(found[1].shape[1])
        return found

    monkeypatch.setattr(sums, "mix_backward", spy)

    def gradients(x):
        out = step.mix(Nodes(x[:U], x[U:]), weights)
        return torch.autograd.grad(out.users.square().sum() + out.items.sum(), weights)

    assert all(map(torch.equal, gradients(x), gradients(x.detach())))
    assert sorted(sent) == ([] if backend == "torch" else [0, 0, 3, I])


def test_senders_that_are_the_same_for_all_behaviors_need_not_be_repeated():
    _, step, x = setup("row")
    weights = torch.randn(U, H, B, B)
    shared = x[U:, :, :1].detach()
    repeated = mix_side(step.to_users, shared.expand(-1, -1, B, -1).contiguous(), weights)
    torch.testing.assert_close(mix_side(step.to_users, shared, weights), repeated)


def test_nodes_without_edges_receive_zeros():
    _, step, x = setup("row")
    out = step.own(Nodes(x[:U], x[U:]))
    assert (out.users[0] == 0).all()
    assert (out.items[0] == 0).all()
    assert out.users[1].abs().sum() > 0


@pytest.mark.parametrize("backend", ["compiled", "torch"], indirect=True)
def test_several_threads_give_the_same_bits(monkeypatch):
    matrices = random_matrices(n_users=101, n_items=103, n_behaviors=B)
    x = torch.randn(204, 1, B, 16, requires_grad=True)
    weights = torch.randn(204, 1, B, B, requires_grad=True)
    found = []
    monkeypatch.setattr(compiled, "_LEAST_WORK", 100)
    for threads in (1, 3):
        monkeypatch.setattr(compiled._state, "threads", threads)
        step = Propagation(BehaviorGraph.build(matrices), "row")
        own = step.own(Nodes(x[:101, :, :1], x[101:, :, :1]))
        mixed = step.mix(own, Nodes(weights[:101], weights[101:]))
        out = torch.cat([mixed.users, mixed.items])
        found.append((out, *torch.autograd.grad(out.square().sum(), (x, weights))))
    assert all(map(torch.equal, *found))


def test_edges_of_all_behaviors_lie_side_by_side_without_a_copy():
    edges = BehaviorGraph.build(random_matrices(n_users=U, n_items=I, n_behaviors=B)).to_users
    address = edges.stack.indices.__array_interface__["data"][0]
    assert address == edges[0].indices.data_ptr()
    assert len(edges.stack.indices) == sum(len(each.indices) for each in edges)
    apart = Stack.of([edges[2], edges[0]])
    for row in range(U):
        for behavior, each in enumerate((edges[2], edges[0])):
            mine = apart.indices[apart.starts[behavior, row] : apart.stops[behavior, row]]
            theirs = each.indices[each.offsets[row] : each.offsets[row + 1]]
            assert mine.tolist() == theirs.tolist()
