"""GHCF keeps the contract, equals its dense twin, and its fast loss is the sum over all pairs."""

from typing import ClassVar

import numpy as np
import pytest
import torch

from cigf.errors import ConfigError
from cigf.experiment.config import ExperimentConfig
from cigf.graph.bipartite import BehaviorGraph
from cigf.models.base import Sizes
from cigf.models.ghcf import GHCFConfig, check, whole_users
from cigf.models.registry import build_model, parse_model_config
from cigf.testing import RecommenderContract
from cigf.testing.toy import all_scores, one_batch, random_matrices, toy_dataset
from reference import ghcf as reference


class GHCFContract(RecommenderContract):
    name = "ghcf"

    def dense_scores(self, model, matrices, behavior):
        return reference.scores(model, matrices, behavior)


class TestDefault(GHCFContract):
    options: ClassVar = {"embedding_size": 16, "n_layers": 2, "negative_weight": 0.1}


class TestOneLayerAndUnequalCoefficients(GHCFContract):
    options: ClassVar = {
        "embedding_size": 5,
        "n_layers": 1,
        "coefficients": [1, 4, 1],
        "negative_weight": 0.1,
        "message_dropout": 0,
        "edge_dropout": 0,
    }
    inert = frozenset()


def build(matrices, **options):
    sizes = Sizes(*matrices[0].shape, len(matrices))
    model = build_model("ghcf", parse_model_config("ghcf", options), sizes, 0)
    with torch.no_grad():  # far from where all scores are about 0
        for parameter in model.parameters():
            parameter.mul_(2.0)
    return model


def batch_of(matrices):
    return one_batch(matrices, sampling=whole_users(GHCFConfig())["sampling"])


@pytest.mark.parametrize("n_layers", [0, 1, 3])
@pytest.mark.parametrize("coefficients", [[], [0, 5, 1]])
@pytest.mark.parametrize("negative_weight", [0.0, 0.1, 1.0])
def test_the_loss_is_the_sum_over_all_pairs(n_layers, coefficients, negative_weight):
    matrices = random_matrices()
    model = build(
        matrices,
        embedding_size=5,
        n_layers=n_layers,
        coefficients=coefficients,
        negative_weight=negative_weight,
        embedding_l2=0.3,
    ).eval()
    batch = batch_of(matrices)
    found = model.loss(model.encode(BehaviorGraph.build(matrices), batch.users), batch).sum()
    expected = reference.loss(model, matrices, batch.users.numpy())
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_a_coefficient_of_zero_leaves_the_behavior_out():
    matrices = random_matrices()
    model = build(matrices, coefficients=[0, 5, 1]).eval()
    nothing = matrices[0] * 0
    nothing.eliminate_zeros()
    expected = all_scores(model, (nothing, *matrices[1:]))
    np.testing.assert_array_equal(all_scores(model, matrices), expected)


@torch.no_grad()
def test_equal_relations_give_equal_scores():
    matrices = random_matrices()
    model = build(matrices)
    model.relation_embedding.copy_(torch.ones_like(model.relation_embedding))
    first, *others = (all_scores(model, matrices, k) for k in range(3))
    for other in others:
        np.testing.assert_array_equal(first, other)


@torch.no_grad()
def test_without_layers_and_relations_it_is_weighted_matrix_factorization():
    matrices = random_matrices(n_behaviors=1)
    model = build(matrices, n_layers=0, embedding_size=3, embedding_l2=0.0, negative_weight=1.0)
    model.relation_embedding.fill_(1.0)
    batch = batch_of(matrices)
    scores = model.user_embedding @ model.item_embedding.T
    expected = (torch.from_numpy(matrices[0].toarray()) - scores)[batch.users].square().sum()
    found = model.loss(model.encode(BehaviorGraph.build(matrices), batch.users), batch)
    torch.testing.assert_close(found, expected[None].float())


def test_dropout_is_for_training_only_and_keeps_the_scale():
    matrices = random_matrices()
    model = build(matrices, embedding_size=5, n_layers=1, message_dropout=0.5, edge_dropout=0.5)
    graph = BehaviorGraph.build(matrices)
    with torch.no_grad():
        model.train()
        torch.manual_seed(0)
        # One layer is linear in what is dropped where every sum is positive.
        for parameter in model.parameters():
            parameter.abs_()
        draws = torch.stack([model.encode(graph).items for _ in range(400)]).mean(0)
        expected = model.eval().encode(graph).items
    assert (draws - expected).norm() < 0.15 * expected.norm()


def test_it_refuses_what_does_not_fit_the_data():
    matrices = random_matrices()
    with pytest.raises(ConfigError, match=r"model\.coefficients: 2 values for 3 behaviors"):
        check(GHCFConfig(coefficients=(1.0, 2.0)), toy_dataset(matrices))
    with pytest.raises(ConfigError, match="several behaviors"):
        check(GHCFConfig(), toy_dataset(matrices[:1]))


@pytest.mark.parametrize(
    "option", [{"positives_per_user": 40}, {"negatives_per_positive": 1}, {"unit": "interactions"}]
)
def test_it_refuses_samplers_that_leave_positives_out(option):
    (name,) = option
    with pytest.raises(
        ConfigError, match=rf"sampling\.{name}: must be .* for the loss of model 'ghcf'"
    ):
        ExperimentConfig.parse({"model": {"name": "ghcf"}, "sampling": option})
