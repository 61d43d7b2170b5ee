"""LightGCN keeps the contract, equals matrix powers, and is matrix factorization without layers."""

from typing import ClassVar

import numpy as np
import pytest
import torch

from cigf.errors import ConfigError
from cigf.graph.bipartite import BehaviorGraph
from cigf.losses import bpr
from cigf.models.base import Sizes
from cigf.models.graph_options import check_weights
from cigf.models.registry import build_model, parse_model_config
from cigf.testing import RecommenderContract
from cigf.testing.toy import all_scores, one_batch, random_matrices, toy_dataset
from models.graph_toys import copied, four_nodes, on_four_nodes, toy_model
from reference import lightgcn as reference

NESTED = [
    {"graph": graph, "n_layers": n, **more}
    for n in (0, 1, 3)
    for graph, more in (
        ("target", {}),
        ("union", {}),
        ("weighted", {}),
        ("weighted", {"behavior_weights": (0.5, 1.0, 3.0)}),
        ("per-behavior", {}),
    )
]


class LightGCNContract(RecommenderContract):
    name = "lightgcn"
    learning_rate = 0.05

    def dense_scores(self, model, matrices, behavior):
        return reference.scores(model, matrices)


class TestDefault(LightGCNContract):
    options: ClassVar = {"embedding_size": 5}


class TestUnion(LightGCNContract):
    name = "lightgcn-m"
    options: ClassVar = {"embedding_size": 5, "initialization": "xavier"}


class TestPerBehavior(LightGCNContract):
    name = "lightgcn-m"
    options: ClassVar = {"embedding_size": 5, "graph": "per-behavior", "initial_deviation": 0.1}


@pytest.mark.parametrize("options", NESTED, ids=str)
def test_every_graph_equals_its_dense_twin(options):
    model, matrices = toy_model("lightgcn", embedding_size=5, **options), random_matrices()
    expected = reference.scores(model, matrices)
    np.testing.assert_allclose(all_scores(model, matrices), expected, 1e-4, 1e-4)


def test_by_hand():
    # S e = (4.1213, 2.8284 | 0.7071, 1.9142), and e = (1, 2 | 3, 4); the mean of the two:
    encoded = on_four_nodes("lightgcn", n_layers=1).encode(four_nodes())
    found = torch.cat([encoded.users, encoded.items]).flatten().detach()
    assert found.tolist() == pytest.approx([2.5607, 2.4142, 1.8536, 2.9571], abs=1e-4)


def test_without_layers_it_is_matrix_factorization():
    matrices = random_matrices()
    model = toy_model("lightgcn", embedding_size=5, n_layers=0, batch_l2=0.3)
    batch = one_batch(matrices, learns="target")
    found = model.loss(model.encode(BehaviorGraph.build(matrices), batch.users), batch)
    pairs, users, items = batch.pairs[-1], model.user_embedding, model.item_embedding
    x, y, z = users[batch.users[pairs.rows]], items[pairs.positives], items[pairs.negatives]
    squares = x.square().sum(1) + y.square().sum(1) + z.square().sum(1)
    expected = bpr((x * y).sum(1), (x * z).sum(1)) + 0.15 * squares.mean()
    assert found.tolist() == pytest.approx([0.0, 0.0, expected.item()])
    gradients = torch.autograd.grad(expected, [users, items])
    torch.testing.assert_close(torch.autograd.grad(found.sum(), [users, items]), gradients)


@pytest.mark.parametrize("graph", ["union", "weighted", "per-behavior"])
def test_the_same_behavior_twice_is_that_behavior(graph):
    matrices = random_matrices()[-1:]
    model = toy_model("lightgcn", 1, embedding_size=5)
    expected = all_scores(model, matrices)
    other = copied(model, "lightgcn-m", 2, embedding_size=5, graph=graph)
    np.testing.assert_allclose(all_scores(other, matrices * 2), expected, 1e-5, 1e-5)
    alone = copied(model, "lightgcn-m", 1, embedding_size=5, graph=graph)
    np.testing.assert_allclose(all_scores(alone, matrices), expected, 1e-5, 1e-5)


def test_the_union_of_nested_behaviors_is_the_widest():
    widest = random_matrices()[0]
    narrow = widest * (random_matrices()[2])
    model = toy_model("lightgcn", 2, embedding_size=5, graph="union")
    alone = copied(model, "lightgcn", 1, embedding_size=5)
    found = all_scores(model, [widest, narrow])
    np.testing.assert_allclose(found, all_scores(alone, [widest]), 1e-5, 1e-5)


def test_weights_must_be_one_for_each_behavior():
    config = parse_model_config("lightgcn-m", {"behavior_weights": (1.0, 2.0)})
    with pytest.raises(ConfigError, match="2 values for 3 behaviors"):
        check_weights(config, toy_dataset(random_matrices()))
    check_weights(config, toy_dataset(random_matrices()[:2]))
    check_weights(parse_model_config("lightgcn", {}), toy_dataset(random_matrices()))


def test_embeddings_begin_as_the_options_say():
    normal = [toy_initial(initial_deviation=d).user_embedding.std().item() for d in (0.01, 0.1)]
    assert normal == pytest.approx([0.01, 0.1], rel=0.1)
    xavier = toy_initial(initialization="xavier").user_embedding.abs().max().item()
    assert xavier == pytest.approx((6 / (1000 + 5)) ** 0.5, rel=0.01)


def toy_initial(**options):
    config = parse_model_config("lightgcn", {"embedding_size": 5, **options})
    return build_model("lightgcn", config, Sizes(1000, 13, 1), 0)
