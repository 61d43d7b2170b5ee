"""DMF keeps the contract and equals two dense towers and their cosine."""

from typing import ClassVar

import numpy as np
import pytest
import torch

from cigf.errors import ConfigError
from cigf.graph.bipartite import BehaviorGraph
from cigf.models.dmf import FLOOR
from cigf.models.registry import parse_model_config
from cigf.testing import RecommenderContract
from cigf.testing.toy import all_scores, one_batch, random_matrices
from models.graph_toys import toy_model
from reference import dmf as reference


class TestDMF(RecommenderContract):
    name = "dmf"
    options: ClassVar = {
        "user_layers": (13, 17),
        "item_layers": (19, 17),
        "initial_deviation": 0.3,
    }

    def dense_scores(self, model, matrices, behavior):
        return reference.scores(model, matrices)


def dmf(users=(3, 5), items=(2, 5)):
    return toy_model("dmf", user_layers=users, item_layers=items)


def test_deeper_towers_equal_the_dense_twin():
    model, matrices = dmf((3, 5, 2), (2, 3, 4, 2)), random_matrices()
    expected = reference.scores(model, matrices)
    np.testing.assert_allclose(all_scores(model, matrices), expected, 1e-4, 1e-4)


def test_one_layer_is_linear():
    y = torch.from_numpy(random_matrices()[-1].toarray()).float()
    model, graph = dmf((5,), (5,)), BehaviorGraph.build(random_matrices())
    users = model.user_tower(graph.to_users[-1], graph.to_items[-1])
    torch.testing.assert_close(users, y @ model.user_tower.weights[0])


def test_scores_are_cosines_so_the_scale_of_a_tower_is_nothing():
    model, matrices = dmf(), random_matrices()
    expected = all_scores(model, matrices)
    assert (expected >= 0).all()
    assert (expected <= 1 + 1e-6).all()
    with torch.no_grad():
        model.user_tower.weights[-1] *= 3.0
        model.user_tower.biases[-1] *= 3.0
    np.testing.assert_allclose(all_scores(model, matrices), expected, 1e-5, 1e-6)


def test_an_empty_row_without_biases_scores_zero():
    model = dmf()
    with torch.no_grad():
        for bias in model.user_tower.biases:
            bias.zero_()
    assert (all_scores(model, random_matrices())[0] == 0).all()


@pytest.mark.parametrize("n_negatives", [1, 7])
def test_the_loss_is_the_mean_cross_entropy_of_all_instances(n_negatives):
    matrices = random_matrices()
    model = dmf()
    sampling = {"negatives_per_positive": n_negatives}
    batch = one_batch(matrices, learns="target", sampling=sampling)
    encoded = model.encode(BehaviorGraph.build(matrices), batch.users)
    pairs = batch.pairs[-1]
    users = batch.users[pairs.rows].numpy()
    scores = np.clip(reference.scores(model, matrices), FLOOR, 1 - FLOOR)
    positive = scores[users, pairs.positives.numpy()][::n_negatives]
    negative = scores[users, pairs.negatives.numpy()]
    expected = np.concatenate([-np.log(positive), -np.log(1 - negative)]).mean()
    assert model.target_loss(encoded, batch).item() == pytest.approx(expected, rel=1e-3)


def test_towers_must_end_alike():
    with pytest.raises(ConfigError, match="must end with the same width"):
        parse_model_config("dmf", {"user_layers": [8, 4], "item_layers": [8, 5]})
    with pytest.raises(ConfigError, match="user_layers"):
        parse_model_config("dmf", {"user_layers": []})
