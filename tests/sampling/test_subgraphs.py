"""Sub-graphs: which nodes they take, and that batches inside them are what they should be."""

import itertools

import numpy as np
import pytest
import torch

from cigf.data.dataset import build_matrix, union_of
from cigf.errors import ConfigError
from cigf.sampling.build import build_sampler
from cigf.sampling.config import SamplingConfig
from cigf.sampling.subgraph_batches import SubgraphBatch, SubgraphSampler, restricted
from cigf.sampling.subgraphs import BudgetNodes, NeighborNodes, _draw, _shares
from cigf.testing.toy import random_matrices

U, I = 31, 37  # noqa: E741  # the axis legend's letters
KINDS = {"budget": BudgetNodes, "neighbors": NeighborNodes}
EVERYTHING = {"subgraph_nodes": U + I, "subgraph_rounds": 3, "neighbors_per_node": U + I}
SMALL = {"subgraph_nodes": 3, "subgraph_rounds": 1, "neighbors_per_node": 1}


def matrices():
    return random_matrices(n_users=U, n_items=I)


def options(kind, **others):
    sizes = {"users_per_epoch": 23, "batch_size": 5, "positives_per_user": 3, "subgraph": kind}
    return SamplingConfig(**{**sizes, **others})


def around(kind, users, seed=0, data=None, **others):
    nodes = KINDS[kind](data or matrices(), options(kind, **others))
    return nodes.around(np.array(users), np.random.default_rng(seed))


def path():
    """User u bought items u and u + 1: a chain."""
    users = np.repeat(np.arange(5), 2)
    return [build_matrix(users, users + np.tile([0, 1], 5), (5, 6))]


def test_shares_are_one_over_the_degree():
    union = union_of(matrices())
    rows, dense = np.array([4, 0, 9]), union.toarray()
    expected = sum(dense[r] / max(dense[r].sum(), 1) for r in rows)
    np.testing.assert_allclose(_shares(union, rows), expected)


def successive(weights, most):
    """Chance of each node to be among `most` draws, one after the other without replacement."""
    chances = np.zeros(len(weights))
    for order in itertools.permutations(range(len(weights)), most):
        left, chance = weights.sum(), 1.0
        for node in order:
            chance *= weights[node] / left
            left -= weights[node]
        chances[list(order)] += chance
    return chances


def test_draws_follow_the_squared_budgets_without_replacement():
    budgets = np.array([0.0, 0.5, 1.0, 0.0, 2.0, 1.5])
    generator, n = np.random.default_rng(0), 4000
    drawn = [_draw(budgets, 2, generator) for _ in range(n)]
    assert all(len(set(nodes.tolist())) == 2 for nodes in drawn)
    frequencies = np.bincount(np.concatenate(drawn), minlength=6) / n
    np.testing.assert_allclose(frequencies, successive(budgets**2, 2), atol=0.03)


def test_a_draw_takes_everybody_with_a_budget_where_there_are_too_few():
    assert _draw(np.array([0.0, 0.1, 0.2]), 5, np.random.default_rng(0)).tolist() == [1, 2]


def test_budgets_reach_a_step_further_each_time():
    # From user 0 one of her items, 0 or 1. Item 0 leads to nobody new in the round, so that the
    # last draws, of what could not be spent, reach user 1; item 1 leads to her at once.
    found = {
        tuple(map(tuple, around("budget", [0], seed, path(), subgraph_rounds=1, subgraph_nodes=6)))
        for seed in range(20)
    }
    assert found == {((0, 1), (0, 1, 2)), ((0, 1, 2), (0, 1, 2, 3))}


def test_what_a_round_cannot_spend_the_next_one_may():
    # Round 1 may add two users, but only user 1 is near; so round 2 may add three of the four
    # that two of user 1's items lead to.
    pairs = [(0, 0), (1, 0), *((1, i) for i in range(1, 7))]
    pairs += [(2 * i + side, i) for i in range(1, 7) for side in (0, 1)]
    data = [build_matrix(*np.array(pairs).T, (14, 7))]
    users, items = around("budget", [0], data=data, subgraph_rounds=2, subgraph_nodes=2)
    assert (len(users), len(items)) == (5, 5)


def test_neighbors_are_as_many_as_asked_and_real():
    data = matrices()
    users, items = around("neighbors", [3, 5], subgraph_rounds=1, neighbors_per_node=2)
    first = union_of(data)[[3, 5]].toarray().any(0)
    assert {3, 5} <= set(users)
    assert set(items) <= set(np.flatnonzero(first))
    assert len(items) <= 2 * len(data) * 2
    for matrix in data:
        degrees = np.minimum(matrix[[3, 5]].toarray().sum(1), 2)
        assert matrix[[3, 5]][:, items].toarray().sum() >= degrees.max()


def test_every_neighbor_is_as_likely_as_another():
    data = [build_matrix(np.zeros(5, np.int64), np.arange(5), (2, 7))]
    taken = [
        around("neighbors", [0], seed, data, subgraph_rounds=1, neighbors_per_node=2)[1]
        for seed in range(1500)
    ]
    frequencies = np.bincount(np.concatenate(taken), minlength=7) / len(taken)
    np.testing.assert_allclose(frequencies, [0.4] * 5 + [0, 0], atol=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_large_enough_they_hold_what_can_be_reached(kind):
    union = union_of(matrices()).toarray()
    users, items = around(kind, np.flatnonzero(union.any(1)), **EVERYTHING)
    assert users.tolist() == np.flatnonzero(union.any(1)).tolist()
    assert items.tolist() == np.flatnonzero(union.any(0)).tolist()


def dense_everywhere():
    """Data in which each node has an edge, so that a sub-graph can hold all of them."""
    users = np.concatenate([np.arange(U), np.arange(I) % U])
    items = np.concatenate([np.arange(U) % I, np.arange(I)])
    return (*matrices()[:-1], build_matrix(users, items, (U, I)))


def values(batch):
    return [batch.users.tolist(), *(t.tolist() for p in batch.pairs for t in vars(p).values())]


@pytest.mark.parametrize("learns", ["behaviors", "target", "union"])
@pytest.mark.parametrize("kind", KINDS)
def test_with_all_nodes_the_batches_are_those_of_the_whole_graph(kind, learns):
    data, everybody = dense_everywhere(), {"users_per_epoch": U}
    inside = build_sampler(data, options(kind, **EVERYTHING, **everybody), 0, learns=learns)
    whole = build_sampler(data, options("none", **everybody), 0, learns=learns)
    assert isinstance(inside, SubgraphSampler)
    pairs = list(zip(inside.epoch(2), whole.epoch(2), strict=True))
    assert len(pairs) == inside.n_steps == whole.n_steps
    for one, other in pairs:
        assert values(one) == values(other)
        for mine, matrix in zip(one.graph.to_users, data, strict=True):
            assert mine.indices.tolist() == matrix.indices.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_inside_are_pairs_outside(kind):
    data = matrices()
    source = build_sampler(data, options(kind, users_per_subgraph=10, **SMALL), 0)
    seen, sizes = [], set()
    for batch in source.epoch(0):
        assert isinstance(batch, SubgraphBatch)
        users, items = batch.nodes
        sizes.add((len(users), len(items)))
        assert (len(users), len(items)) == (batch.graph.n_users, batch.graph.n_items)
        seen += users[batch.users].tolist()
        for matrix, pairs, edges in zip(data, batch.pairs, batch.graph.to_users, strict=True):
            dense = matrix.toarray()
            rows = users[batch.users[pairs.rows]]
            assert (dense[rows, items[pairs.positives]] == 1).all()
            assert (dense[rows, items[pairs.negatives]] == 0).all()
            assert edges.degrees.tolist() == dense[users][:, items].sum(1).tolist()
    assert len(seen) == len(set(seen)) == 23
    assert len(sizes) > 1
    assert max(sizes) < (U, I)


@pytest.mark.parametrize("per_subgraph", [5, 10, 12, 100])
def test_steps_are_counted_and_any_can_be_the_first(per_subgraph):
    source = build_sampler(matrices(), options("budget", users_per_subgraph=per_subgraph), 0)
    whole = [values(batch) for batch in source.epoch(1)]
    assert len(whole) == source.n_steps
    for first in range(source.n_steps):
        assert [values(batch) for batch in source.epoch(1, first)] == whole[first:]


def test_other_epochs_and_seeds_have_other_subgraphs():
    def nodes(seed, epoch):
        batch = next(build_sampler(matrices(), options("budget", **SMALL), seed).epoch(epoch))
        return batch.nodes.items.tolist()

    assert nodes(0, 0) == nodes(0, 0)
    assert nodes(0, 0) != nodes(0, 1) != nodes(1, 1)


def test_every_group_draws_for_itself():
    source = build_sampler(matrices(), options("budget", users_per_subgraph=5, batch_size=5), 0)
    drawn, around = [], source._around.around

    class Spy:
        def around(self, users, generator):
            drawn.append(generator.random())
            return around(users, generator)

    source._around = Spy()
    assert len(list(source.epoch(0))) == len(drawn) == len(set(drawn)) == 5


def test_restricting_keeps_order_and_values():
    matrix = matrices()[0]
    found = restricted(matrix, np.array([1, 4]), np.array([2, 3, 9]))
    np.testing.assert_array_equal(found.toarray(), matrix.toarray()[[1, 4]][:, [2, 3, 9]])
    assert found.has_sorted_indices


def test_subgraphs_are_for_batches_of_users():
    config = options("budget", unit="interactions")
    with pytest.raises(ConfigError, match=r"sampling\.subgraph: 'budget' grows around users"):
        build_sampler(matrices(), config, 0)


def test_labels_of_a_union_learner_are_the_pairs_own():
    data = matrices()
    dense = np.stack([matrix.toarray() for matrix in data], axis=2)
    for batch in build_sampler(data, options("budget", **SMALL), 0, learns="union").epoch(0):
        (pairs,) = batch.pairs
        users, items = batch.nodes.users[batch.users[pairs.rows]], batch.nodes.items
        assert torch.equal(batch.labels, torch.from_numpy(dense[users, items[pairs.positives]]))
