"""AutoRec keeps the contract, equals its dense twin, and its loss is that of whole rows."""

from typing import ClassVar

import numpy as np
import pytest
import torch

from cigf.errors import ConfigError
from cigf.experiment.config import load_experiment
from cigf.graph.bipartite import BehaviorGraph
from cigf.models.autorec import whole_rows
from cigf.models.registry import parse_model_config
from cigf.testing import RecommenderContract
from cigf.testing.toy import all_scores, one_batch, random_matrices
from models.graph_toys import toy_model
from reference import autorec as reference


class AutoRecContract(RecommenderContract):
    name = "autorec"
    learning_rate = 0.05

    def dense_scores(self, model, matrices, behavior):
        return reference.scores(model, matrices)


class TestSquare(AutoRecContract):
    options: ClassVar = {"hidden_size": 5, "negative_weight": 0.3}


class TestBPR(AutoRecContract):
    options: ClassVar = {"hidden_size": 5, "objective": "bpr"}


def test_the_square_loss_is_that_of_every_entry_of_the_rows():
    matrices = random_matrices()
    model = toy_model("autorec", hidden_size=5, negative_weight=0.3)
    sampling = whole_rows(model.config)["sampling"]
    batch = one_batch(matrices, learns="target", sampling=sampling)
    encoded = model.encode(BehaviorGraph.build(matrices), batch.users)
    users = batch.users.numpy()
    y = matrices[-1].toarray()[users]
    scores = reference.scores(model, matrices)[users]
    expected = np.where(y > 0, (1 - scores) ** 2, 0.3 * scores**2).sum() / len(users)
    assert model.target_loss(encoded, batch).item() == pytest.approx(expected, rel=1e-5)


def test_the_square_loss_refuses_to_be_given_a_sample():
    config = load_experiment(None, [], "autorec")
    assert config.sampling.positives_per_user == 0
    assert config.sampling.negatives_per_positive == 0
    with pytest.raises(ConfigError, match=r"sampling\.positives_per_user: must be 0"):
        load_experiment(None, ["sampling.positives_per_user=40"], "autorec")
    settings = ["sampling.positives_per_user=40", "model.objective=bpr"]
    assert load_experiment(None, settings, "autorec").sampling.negatives_per_positive == 1


def test_a_wide_hidden_layer_can_pass_its_input_through():
    # Small weights keep the sigmoid in its linear part: sigmoid(e y) = 1/2 + e y / 4.
    model, matrices = toy_model("autorec", hidden_size=11), random_matrices()
    with torch.no_grad():
        model.hidden_bias.zero_()
        model.input_weight.copy_(0.01 * torch.eye(11))
        model.output_weight.copy_(400.0 * torch.eye(11))
        model.item_bias.fill_(-200.0)
    np.testing.assert_allclose(all_scores(model, matrices), matrices[-1].toarray(), atol=1e-3)


def test_users_have_no_parameters():
    model = toy_model("autorec", hidden_size=5)
    assert not [p for p in model.parameters() if len(p) == 7]
    config = parse_model_config("autorec", {"hidden_size": 5})
    assert whole_rows(config)["sampling"]["unit"] == "users"
