"""MBGCN keeps the contract, equals its dense twin, and its weights are those of the behaviors."""

from typing import ClassVar

import numpy as np
import pytest
import torch

from cigf.data.dataset import build_matrix
from cigf.errors import ConfigError
from cigf.graph.bipartite import BehaviorGraph
from cigf.losses import bpr
from cigf.models.base import Sizes
from cigf.models.registry import build_model, check_model, model_entry, parse_model_config
from cigf.ranking import ScoreFactors
from cigf.testing import RecommenderContract
from cigf.testing.toy import all_scores, one_batch, random_matrices, toy_dataset
from reference import mbgcn as reference


class MBGCNContract(RecommenderContract):
    name = "mbgcn"

    def dense_scores(self, model, matrices, behavior):
        return reference.scores(model, matrices)


class TestDefault(MBGCNContract):
    options: ClassVar = {"embedding_size": 16}


class TestWithoutRelevance(MBGCNContract):
    options: ClassVar = {"embedding_size": 5, "relevance": 0, "message_dropout": 0}
    inert = frozenset({"shared_weight", "relevance_weight"})


def build(matrices, **options):
    sizes = Sizes(*matrices[0].shape, len(matrices))
    config = parse_model_config("mbgcn", {"embedding_size": 5, **options})
    return build_model("mbgcn", config, sizes, 0).eval()


def loss_of(model, matrices, batch):
    return model.loss(model.encode(BehaviorGraph.build(matrices), batch.users), batch)


def batch_of(matrices):
    return one_batch(matrices, learns="target")


@torch.no_grad()
def test_without_relevance_and_propagation_it_is_matrix_factorization_by_bpr():
    matrices = random_matrices()
    model, batch = build(matrices, relevance=0, embedding_l2=0), batch_of(matrices)
    model.weight.zero_()
    scores = model.user_embedding @ model.item_embedding.T
    np.testing.assert_allclose(all_scores(model, matrices), scores.numpy(), 1e-5, 1e-6)
    pairs = batch.pairs[-1]
    mine = scores[batch.users][pairs.rows]
    positive, negative = (
        mine.gather(1, items[:, None])[:, 0] for items in (pairs.positives, pairs.negatives)
    )
    torch.testing.assert_close(loss_of(model, matrices, batch)[-1], bpr(positive, negative))


@torch.no_grad()
def test_behaviors_are_weighed_by_their_counts():
    # User 0 has three interactions of one kind and one of the other: weights .75 and .25.
    views = build_matrix(np.array([0, 0, 0]), np.array([0, 1, 2]), (2, 5))
    buys = build_matrix(np.array([0, 1]), np.array([4, 3]), (2, 5))
    model = build((views, buys), relevance=0)
    z = model.item_embedding
    expected = (0.75 * z[:3].mean(0) + 0.25 * z[4]) @ model.weight
    found = model.encode(BehaviorGraph.build((views, buys))).users[0, 0, 5:10]
    torch.testing.assert_close(found, expected)


@torch.no_grad()
def test_only_the_ratios_of_the_behaviors_weights_matter():
    matrices = random_matrices()
    model = build(matrices)
    model.behavior_weight.copy_(torch.tensor([1.0, 2.0, 0.5]))
    before = all_scores(model, matrices)
    model.behavior_weight.mul_(3.0)
    np.testing.assert_allclose(all_scores(model, matrices), before, 1e-5, 1e-6)


@torch.no_grad()
def test_one_lonely_behavior_compares_items_with_the_users_mean():
    # No item shares a user with another, so nothing is shared: s = M-weighted <mean_j z_j, z_i>.
    matrices = (build_matrix(np.arange(3), np.arange(3), (3, 5)),)
    model = build(matrices)
    model.user_embedding.zero_()
    model.weight.zero_()
    z, m = model.item_embedding, model.relevance_weight[0][:5, :5]
    np.testing.assert_allclose(all_scores(model, matrices), (z[:3] @ m @ z.T).numpy(), 1e-5, 1e-6)


@torch.no_grad()
def test_the_penalty_is_that_of_its_triples():
    matrices = random_matrices()
    model, batch = build(matrices, embedding_l2=0.5), batch_of(matrices)
    representations = model.encode(BehaviorGraph.build(matrices), batch.users)
    found = model.penalty(representations, batch).item()
    assert found == pytest.approx(reference.penalty(model, matrices, batch), rel=1e-5)


@torch.no_grad()
def test_dropout_keeps_the_expected_vectors():
    matrices = random_matrices()
    model = build(matrices, message_dropout=0.3, edge_dropout=0.3).train()
    graph = BehaviorGraph.build(matrices)
    torch.manual_seed(0)
    draws = [model.encode(graph) for _ in range(400)]
    expected = model.eval().encode(graph)
    for side in ("users", "items"):
        wanted = getattr(expected, side)
        mean = torch.stack([getattr(draw, side) for draw in draws]).mean(0)
        assert (mean - wanted).norm() < 0.1 * wanted.norm()


@torch.no_grad()
def test_the_catalog_is_one_product_of_width_2_d_times_behaviors_plus_1():
    matrices = random_matrices()
    model = build(matrices)
    scorer = model.scorer(model.encode(BehaviorGraph.build(matrices)), 2)
    assert isinstance(scorer, ScoreFactors)
    assert scorer.users.shape == (7, 1, 2 * 5 * 4)


def test_a_single_behavior_is_refused():
    dataset = toy_dataset(random_matrices(n_behaviors=1))
    with pytest.raises(ConfigError, match="several behaviors"):
        check_model("mbgcn", model_entry("mbgcn").config(), dataset)
