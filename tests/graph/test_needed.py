"""What a batch reads of a convolution: the same losses and gradients as of all rows."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from cigf.compiled import switched
from cigf.graph import needed
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.needed import items_of, steps_for, union, worthwhile
from cigf.graph.stack import Stack
from cigf.sampling.config import SamplingConfig
from cigf.sampling.users import UserSampler
from cigf.testing.toy import random_matrices
from models.cigf_toys import build

U, I, B = 41, 103, 3  # noqa: E741  # the axis legend's letters


@pytest.fixture(scope="module")
def matrices():
    return random_matrices(n_users=U, n_items=I, n_behaviors=B)


@pytest.fixture(scope="module")
def batch(matrices):
    config = SamplingConfig(batch_size=3, positives_per_user=4)
    return next(UserSampler(matrices, config, seed=0).epoch(0))


@pytest.mark.parametrize("on", [True, False], ids=["compiled", "torch"])
@pytest.mark.parametrize("chain", ["reference", "independent"])
@pytest.mark.parametrize("n_layers", [1, 2, 4])
def test_losses_and_gradients_are_those_of_all_rows(
    matrices, batch, monkeypatch, n_layers, chain, on
):
    monkeypatch.setattr(needed, "_WORTHWHILE", 1.0)
    model = build(matrices, {"n_layers": n_layers, "chain": chain, "normalization": "symmetric"})
    graph = BehaviorGraph.build(matrices)
    parameters = [p for p in model.parameters() if p.numel()]
    with switched(on=on):
        found = model(graph, batch)
        expected = model.loss(model.encode(graph, batch.users), batch)
        torch.testing.assert_close(found, expected)
        mine, theirs = (
            torch.autograd.grad(losses.sum(), parameters, materialize_grads=True)
            for losses in (found, expected)
        )
    for gradient, expected_gradient in zip(mine, theirs, strict=True):
        torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-5)


def test_the_last_layers_leave_out_what_is_not_read(matrices, batch, monkeypatch):
    monkeypatch.setattr(needed, "_WORTHWHILE", 1.0)
    graph = BehaviorGraph.build(matrices)
    items = items_of(batch, I)
    first, before, last = steps_for(graph, "row", 3, batch.users, items)
    assert first.users is first.items is before.users is None
    assert set(items.tolist()) == {
        int(item) for pairs in batch.pairs for item in (*pairs.positives, *pairs.negatives)
    }
    read = set(items.tolist())
    for matrix in matrices:
        read |= set(matrix[batch.users.numpy()].indices.tolist())
    assert before.items.tolist() == sorted(read)
    assert last.to_users.n_columns == len(read) < I
    assert (last.users, last.items) == (batch.users, items)


def test_nothing_is_left_out_where_most_edges_are_read(matrices, batch):
    graph = BehaviorGraph.build(matrices)
    assert worthwhile(graph, torch.arange(I - 1)) is None
    few = torch.tensor([0, 5])
    assert worthwhile(graph, few) is few
    assert steps_for(graph, "row", 2)[0] is steps_for(graph, "row", 2)[1]
    all_steps = steps_for(graph, "row", 2, batch.users, None)
    assert [step.items for step in all_steps] == [None, None]
    everyone = union(graph, torch.arange(U), few)
    steps = steps_for(graph, "row", 2, torch.arange(U), few)
    assert len(everyone) > 0.9 * I
    assert steps[0].items is None
    assert steps[1].to_users.columns is None


def test_chosen_edges_are_those_of_a_loop(matrices):
    edges = BehaviorGraph.build(matrices).to_users
    rows, columns = np.array([7, 2, 30]), np.array([90, 4, 55, 61, 8])
    position = np.full(I, -1, np.int32)
    position[columns] = np.arange(len(columns))

    def lists(stack: Stack, row: int) -> list[list[int]]:
        return [
            stack.indices[stack.starts[b, row] : stack.stops[b, row]].tolist() for b in range(B)
        ]

    selected, kept = edges.stack.select(rows), edges.stack.keep(position)
    assert [lists(selected, r) for r in range(3)] == [lists(edges.stack, row) for row in rows]
    for row in range(U):
        expected = [
            [int(position[c]) for c in each if c in columns] for each in lists(edges.stack, row)
        ]
        assert lists(kept, row) == expected
    moved = edges.stack.select(rows, np.arange(I, dtype=np.int32)[::-1].copy())
    expected = [[I - 1 - c for c in each] for each in lists(edges.stack, 7)]
    assert lists(moved, 0) == expected
    assert len(edges.stack.select(rows[:0]).indices) == 0


def test_a_batch_is_renumbered_as_a_whole(batch):
    assert needed.renumbered(batch, None, I) is batch
    items = items_of(batch, I)
    found = needed.renumbered(batch, items, I)
    for mine, theirs in zip(found.pairs, batch.pairs, strict=True):
        assert torch.equal(items[mine.positives], theirs.positives)
        assert torch.equal(items[mine.negatives], theirs.negatives)
    rest = [field.name for field in fields(batch) if field.name != "pairs"]
    assert all(getattr(found, name) is getattr(batch, name) for name in rest)
