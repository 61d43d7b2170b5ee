"""NGCF keeps the contract and equals its dense twin under both rules."""

from typing import ClassVar

import numpy as np
import pytest
import torch

from cigf.graph.bipartite import BehaviorGraph
from cigf.losses import bpr
from cigf.models.ngcf import ProgramLayer
from cigf.shapes import Nodes
from cigf.testing import RecommenderContract
from cigf.testing.toy import all_scores, one_batch, random_matrices
from models.graph_toys import copied, four_nodes, on_four_nodes, toy_model
from reference import ngcf as reference

SMALL = {"embedding_size": 5, "layers": (5, 3)}
GRAPHS = ["target", "union", "weighted", "per-behavior"]


class NGCFContract(RecommenderContract):
    name = "ngcf"
    options: ClassVar = SMALL

    def dense_scores(self, model, matrices, behavior):
        return reference.scores(model, matrices)


class TestDefault(NGCFContract):
    pass


class TestPaper(NGCFContract):
    options: ClassVar = {**SMALL, "rule": "paper", "edge_dropout": 0.0, "message_dropout": 0.0}


class TestUnion(NGCFContract):
    name = "ngcf-m"


@pytest.mark.parametrize("rule", ["program", "paper"])
@pytest.mark.parametrize("graph", GRAPHS)
def test_every_graph_equals_its_dense_twin(graph, rule):
    model, matrices = toy_model("ngcf", graph=graph, rule=rule, **SMALL), random_matrices()
    expected = reference.scores(model, matrices)
    np.testing.assert_allclose(all_scores(model, matrices), expected, 1e-4, 1e-4)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("program", [5.3333, 9.0, 8.0, 11.6667]),
        ("paper", [9.2426, 10.4853, 5.8284, 13.5711]),
    ],
)
def test_a_layer_by_hand(rule, expected):
    model = on_four_nodes("ngcf", layers=(1,), rule=rule)
    with torch.no_grad():
        for name, parameter in model.layers.named_parameters():
            parameter.fill_(0.0 if "bias" in name else 1.0)
    x = Nodes(model.user_embedding, model.item_embedding)
    found = model._step(model.layers[0], model._steps(four_nodes()), x)
    assert torch.cat(found).flatten().tolist() == pytest.approx(expected, abs=1e-4)


def test_layers_are_read_out_with_length_one():
    model = toy_model("ngcf", **SMALL)
    users = model.encode(BehaviorGraph.build(random_matrices())).users[:, 0]
    ego, *layers = users.split([5, 5, 3], dim=1)
    torch.testing.assert_close(ego, model.user_embedding)
    for layer in layers:
        torch.testing.assert_close(layer.norm(dim=1), torch.ones(7))


def test_without_layers_it_is_matrix_factorization():
    matrices = random_matrices()
    model = toy_model("ngcf", embedding_size=5, layers=(), batch_l2=0.3)
    batch = one_batch(matrices, learns="target")
    found = model.loss(model.encode(BehaviorGraph.build(matrices), batch.users), batch).sum()
    pairs, users, items = batch.pairs[-1], model.user_embedding, model.item_embedding
    x, y, z = users[batch.users[pairs.rows]], items[pairs.positives], items[pairs.negatives]
    squares = x.square().sum(1) + y.square().sum(1) + z.square().sum(1)
    expected = bpr((x * y).sum(1), (x * z).sum(1)) + 0.15 * squares.mean()
    assert found.item() == pytest.approx(expected.item())
    gradients = torch.autograd.grad(expected, [users, items])
    torch.testing.assert_close(torch.autograd.grad(found, [users, items]), gradients)


@pytest.mark.parametrize("rule", ["program", "paper"])
@pytest.mark.parametrize("graph", GRAPHS[1:])
def test_the_same_behavior_twice_is_that_behavior(graph, rule):
    matrices = random_matrices()[-1:]
    model = toy_model("ngcf", 1, rule=rule, **SMALL)
    other = copied(model, "ngcf-m", 2, graph=graph, rule=rule, **SMALL)
    expected = all_scores(model, matrices)
    np.testing.assert_allclose(all_scores(other, matrices * 2), expected, 1e-4, 1e-4)


def test_dropout_acts_in_training_only_and_leaves_the_expectation():
    matrices = random_matrices()
    graph = BehaviorGraph.build(matrices)
    model = toy_model("ngcf", edge_dropout=0.5, message_dropout=0.0, **SMALL)
    (step,) = model._steps(graph)
    x = Nodes(model.user_embedding, model.item_embedding)
    expected = torch.cat(step(x))
    torch.testing.assert_close(torch.cat(step.thinned(0.0)(x)), expected)
    model.train()
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        draws = [torch.cat(model._steps(graph)[0](x)) for _ in range(3000)]
    assert not torch.equal(draws[0], draws[1])
    torch.testing.assert_close(torch.stack(draws).mean(0), expected, rtol=0.1, atol=0.06)


def test_messages_are_dropped_in_training_only():
    graph = BehaviorGraph.build(random_matrices())
    model = toy_model("ngcf", edge_dropout=0.0, message_dropout=0.5, **SMALL)
    assert (model.encode(graph).users != 0).all()
    model.train()
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        dropped = (model.encode(graph).users[:, 0, 5:] == 0).float().mean()
    assert 0.3 < dropped < 0.7


def test_weights_and_biases_begin_alike():
    layer = ProgramLayer(5, 3, torch.Generator().manual_seed(0))
    assert layer.bias.abs().max() > 0
    assert layer.bias.abs().max() <= (6 / 4) ** 0.5
