"""gather-sum equals the dense product, forward and backward, for every shape of graph."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cigf.data.dataset import build_matrix
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.gather_sum import gather_sum, transpose_by_counting, transpose_by_sort
from cigf.shapes import Nodes
from cigf.testing.toy import random_matrices

U, I, F = 7, 11, 5  # noqa: E741  # the axis legend's letters


def graph_of(dense):
    return BehaviorGraph.build([build_matrix(*np.nonzero(dense), dense.shape)])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, U - 1), st.integers(0, I - 1))))
def test_equals_the_dense_product_for_any_edges(pairs):
    dense = np.zeros((U, I), np.float32)
    for user, item in pairs:
        dense[user, item] = 1
    x = torch.randn(I, F, requires_grad=True)
    graph = graph_of(dense)
    out = gather_sum(graph.to_users[0], graph.to_items[0], x)
    torch.testing.assert_close(out, torch.from_numpy(dense) @ x)
    upstream = torch.randn(U, F)
    out.backward(upstream)
    torch.testing.assert_close(x.grad, torch.from_numpy(dense).T @ upstream)


@pytest.mark.parametrize("rows", [[3], [6, 0, 2], [5, 5], []])
def test_a_selection_of_rows_has_their_sums_and_gradients(rows):
    dense = (np.random.default_rng(0).random((U, I)) < 0.4).astype(np.float32)
    dense[2] = 0
    x = torch.randn(I, F, requires_grad=True)
    edges = graph_of(dense).to_users[0].select(torch.tensor(rows, dtype=torch.int64))
    out = gather_sum(edges, None, x)
    expected = torch.from_numpy(dense[rows]) @ x
    torch.testing.assert_close(out, expected)
    upstream = torch.randn(len(rows), F)
    (gradient,) = torch.autograd.grad(out, x, upstream)
    torch.testing.assert_close(gradient, torch.from_numpy(dense[rows]).T @ upstream)


def test_both_directions_of_every_behavior():
    matrices = random_matrices(n_users=U, n_items=I)
    graph = BehaviorGraph.build(matrices)
    x = Nodes(torch.randn(U, F), torch.randn(I, F))
    for behavior, matrix in enumerate(matrices):
        dense = torch.from_numpy(matrix.toarray())
        out = graph.gather_sum(behavior, x)
        torch.testing.assert_close(out.users, dense @ x.items)
        torch.testing.assert_close(out.items, dense.T @ x.users)


@pytest.mark.parametrize("transpose", [transpose_by_counting, transpose_by_sort])
def test_transposing_swaps_rows_and_columns(transpose):
    dense = np.random.default_rng(0).random((U, I)) < 0.4
    dense[2] = dense[:, 5] = False
    graph = graph_of(dense)
    flipped = transpose(graph.to_users[0])
    assert torch.equal(flipped.offsets, graph.to_items[0].offsets)
    assert torch.equal(flipped.indices, graph.to_items[0].indices)
    assert (flipped.n_rows, flipped.n_columns) == (I, U)
    assert flipped.indices.dtype == flipped.offsets.dtype == torch.int32


def test_extreme_values_are_summed_as_they_are():
    dense = np.ones((2, 3), np.float32)
    x = torch.tensor([[1e38, float("inf")], [1e38, 1.0], [-1e38, 1.0]])
    out = gather_sum(graph_of(dense).to_users[0], None, x)
    assert out[0, 1] == float("inf")
    assert out[0, 0] == pytest.approx(1e38, rel=1e-6)


def test_sizes_are_those_of_the_matrices():
    graph = BehaviorGraph.build(random_matrices(n_users=U, n_items=I, n_behaviors=2))
    assert (graph.n_users, graph.n_items, graph.n_behaviors) == (U, I, 2)
    assert graph.device == torch.device("cpu")
    assert graph.to_users[0].indices.dtype == torch.int32


def test_read_only_arrays_can_be_built_from():
    matrix = random_matrices()[0]
    matrix.indices.flags.writeable = False
    matrix.indptr.flags.writeable = False
    assert BehaviorGraph.build([matrix]).to_users[0].degrees.sum() == matrix.nnz


def test_one_behavior_and_the_union_are_graphs_of_their_own():
    matrices = random_matrices(n_users=13, n_items=17)
    graph = BehaviorGraph.build(matrices)
    x = Nodes(torch.randn(13, 3), torch.randn(17, 3))
    dense = [torch.from_numpy(matrix.toarray()).float() for matrix in matrices]
    union = torch.stack(dense).amax(0)
    for found, expected in [
        (graph.only(-1), dense[-1]),
        (graph.only(0), dense[0]),
        (graph.union(), union),
    ]:
        assert found.n_behaviors == 1
        sums = found.gather_sum(0, x)
        torch.testing.assert_close(sums.users, expected @ x.items)
        torch.testing.assert_close(sums.items, expected.T @ x.users)
    assert graph.only(2) is graph.only(-1)
    assert graph.union() is graph.union()


def test_the_union_of_a_large_catalog_keeps_its_pairs():
    # Many more possible pairs than 32 bits count.
    users, items, shape = np.array([3, 69_000]), np.array([5, 70_000]), (70_001, 70_003)
    matrices = [build_matrix(users[[n]], items[[n]], shape) for n in (0, 1)]
    union = BehaviorGraph.build(matrices).union()
    for edges, rows, columns in (
        (union.to_users[0], users, items),
        (union.to_items[0], items, users),
    ):
        assert edges.degrees.nonzero()[:, 0].tolist() == rows.tolist()
        assert edges.indices.tolist() == columns.tolist()
