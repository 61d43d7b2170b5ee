"""Edges are dropped in both directions alike, at the given rate, and what is left is a graph."""

import numpy as np
import torch

from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.dropout import drop_edges
from cigf.testing.toy import random_matrices


def dense(edges):
    found = torch.zeros(edges.n_rows, edges.n_columns)
    rows = torch.repeat_interleave(edges.degrees)
    found[rows, edges.indices.long()] += 1
    return found.numpy()


def test_what_is_left_is_a_subset_and_the_same_in_both_directions():
    matrices = random_matrices(n_users=23, n_items=29)
    dropped = drop_edges(BehaviorGraph.build(matrices), 0.4)
    for behavior, matrix in enumerate(matrices):
        by_user, by_item = dense(dropped.to_users[behavior]), dense(dropped.to_items[behavior])
        assert (by_user == by_item.T).all()
        assert (by_user <= matrix.toarray()).all()
        assert 0 < by_user.sum() < matrix.nnz


def test_every_edge_is_left_as_often_as_the_rate_says():
    matrices = random_matrices()
    graph = BehaviorGraph.build(matrices)
    torch.manual_seed(0)
    draws = 400
    kept = np.mean([dense(drop_edges(graph, 0.25).to_users[0]) for _ in range(draws)], axis=0)
    shares = kept[matrices[0].toarray() > 0]
    assert np.abs(shares - 0.75).max() < 5 * np.sqrt(0.25 * 0.75 / draws)


def test_nothing_is_drawn_without_a_rate():
    graph = BehaviorGraph.build(random_matrices())
    before = torch.get_rng_state()
    assert drop_edges(graph, 0.0) is graph
    assert torch.equal(torch.get_rng_state(), before)


def test_the_seed_decides():
    graph = BehaviorGraph.build(random_matrices())
    torch.manual_seed(3)
    one = dense(drop_edges(graph, 0.5).to_users[0])
    other = dense(drop_edges(graph, 0.5).to_users[0])
    torch.manual_seed(3)
    again = dense(drop_edges(graph, 0.5).to_users[0])
    assert (one == again).all()
    assert (one != other).any()
