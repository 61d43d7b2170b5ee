"""MATN keeps the contract and equals its dense twin; its special cases are linear models."""

from typing import ClassVar

import numpy as np
import pytest
import torch

from cigf.errors import ConfigError
from cigf.graph.bipartite import BehaviorGraph
from cigf.models.registry import parse_model_config
from cigf.testing import RecommenderContract
from cigf.testing.toy import all_scores, one_batch, random_matrices
from models.graph_toys import copied, toy_model
from reference import matn as reference


class TestMATN(RecommenderContract):
    name = "matn"
    options: ClassVar = {"embedding_size": 6, "n_heads": 2, "memory_size": 3}
    learning_rate: ClassVar = 0.03

    def dense_scores(self, model, matrices, behavior):
        return reference.scores(model, matrices)


@torch.no_grad()
def through_identity(model, share):
    """The memory gives `share` times the identity, and what is attended to is nothing."""
    model.attention_weight[2].zero_()
    model.attention_bias[2].zero_()
    model.address_weight.zero_()
    model.address_bias.zero_()
    model.address_bias[:, 0] = share
    model.memory[0] = torch.eye(model.memory.shape[1])
    model.deep_weight.zero_()
    model.deep_bias.zero_()
    return model


@torch.no_grad()
def test_without_attention_and_memory_it_is_a_weighted_sum_of_bags():
    model, matrices = through_identity(toy_model("matn"), 1.0), random_matrices()
    weights = (2 * model.behavior_logit).softmax(0).numpy()
    bags = sum(w * m.toarray() for w, m in zip(weights, matrices, strict=True))
    expected = 2 * bags @ model.input_embedding.numpy() @ model.output_embedding.numpy().T
    np.testing.assert_allclose(all_scores(model, matrices), expected, 1e-4, 1e-4)


@torch.no_grad()
def test_one_behavior_can_be_a_linear_autoencoder():
    matrices = random_matrices(n_behaviors=1)
    model = through_identity(toy_model("matn", 1), 0.5)
    y, v, w = matrices[0].toarray(), model.input_embedding.numpy(), model.output_embedding.numpy()
    np.testing.assert_allclose(all_scores(model, matrices), y @ v @ w.T, 1e-4, 1e-4)


@torch.no_grad()
def test_with_tied_weights_the_order_of_behaviors_is_nothing():
    model, matrices = toy_model("matn"), random_matrices()
    model.behavior_logit.zero_()
    for each in (model.attention_weight, model.attention_bias):
        each.copy_(each[:, :1].expand_as(each).clone())
    for each in (model.address_weight, model.address_bias):
        each.copy_(each[:1].expand_as(each).clone())
    expected = all_scores(model, matrices)
    found = all_scores(copied(model, "matn", 3), matrices[::-1])
    np.testing.assert_allclose(found, expected, 1e-4, 1e-4)


def test_users_without_events_get_what_the_biases_say():
    model, matrices = toy_model("matn"), random_matrices()
    expected = all_scores(model, matrices)[0]  # user 0 has no events
    with torch.no_grad():
        model.input_embedding.normal_(generator=torch.Generator().manual_seed(5))
    np.testing.assert_array_equal(all_scores(model, matrices)[0], expected)


def test_the_loss_is_a_hinge_summed_over_a_users_pairs():
    model, matrices = toy_model("matn"), random_matrices()
    batch = one_batch(matrices, learns="target")
    scores, pairs = all_scores(model, matrices), batch.pairs[-1]
    users = batch.users[pairs.rows]
    margins = 1 - scores[users, pairs.positives] + scores[users, pairs.negatives]
    found = model.target_loss(model.encode(BehaviorGraph.build(matrices), batch.users), batch)
    assert found.item() == pytest.approx(np.maximum(margins, 0).sum() / len(batch.users), rel=1e-4)


def test_heads_divide_the_size():
    with pytest.raises(ConfigError, match="n_heads must divide embedding_size"):
        parse_model_config("matn", {"embedding_size": 5})
