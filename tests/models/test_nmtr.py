"""NMTR keeps the contract and equals its dense twin with every unit and cascade."""

from typing import ClassVar

import numpy as np
import pytest
import torch

from cigf.errors import ConfigError
from cigf.graph.bipartite import BehaviorGraph
from cigf.models.base import Sizes
from cigf.models.nmtr import NMTRConfig, check
from cigf.models.registry import build_model, model_entry, parse_model_config
from cigf.ranking import PartsScorer, ScoreFactors
from cigf.testing import RecommenderContract
from cigf.testing.toy import all_scores, one_batch, random_matrices, toy_dataset
from reference import nmtr as reference

VARIANTS = [
    {"unit": unit, "cascade": cascade}
    for unit in ("gmf", "gmf-hidden", "mlp", "neumf")
    for cascade in ("sum", "average")
]


class NMTRContract(RecommenderContract):
    name = "nmtr"

    def dense_scores(self, model, matrices, behavior):
        return reference.logits(model, matrices)[:, :, behavior]


class TestDefault(NMTRContract):
    options: ClassVar = {"embedding_size": 16}


class TestProgram(NMTRContract):
    options: ClassVar = {"embedding_size": 16, "unit": "gmf-hidden", "cascade": "average"}


class TestNeuMF(NMTRContract):
    options: ClassVar = {"unit": "neumf", "loss_weights": [1, 2, 3]}


def build(matrices, seed=0, **options):
    sizes = Sizes(*matrices[0].shape, len(matrices))
    config = parse_model_config("nmtr", {"embedding_size": 5, **options})
    model = build_model("nmtr", config, sizes, seed)
    with torch.no_grad():  # embeddings begin near 0, and biases at 0, where mistakes hide
        for parameter in model.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(len(parameter)))
    return model


def batch_of(matrices):
    sampling = model_entry("nmtr").defaults["sampling"]
    return one_batch(matrices, learns="union", sampling=sampling)


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_every_variant_equals_its_dense_twin(options):
    matrices = random_matrices()
    model = build(matrices, **options)
    expected = reference.logits(model, matrices)
    for behavior in range(3):
        found = all_scores(model, matrices, behavior)
        np.testing.assert_allclose(found, expected[:, :, behavior], 1e-4, 1e-4)


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_the_loss_is_that_of_its_pairs(options):
    matrices = random_matrices()
    model, batch = build(matrices, loss_weights=[1, 2, 3], **options), batch_of(matrices)
    found = model.loss(model.encode(BehaviorGraph.build(matrices), batch.users), batch)
    np.testing.assert_allclose(
        found.detach().numpy(), reference.loss(model, matrices, batch), rtol=1e-4
    )
    assert batch.negatives_per_positive == 4


@pytest.mark.parametrize(
    ("cascade", "expected"), [("average", [0.3, 0.45, 0.725]), ("sum", [0.3, 0.8, 1.7])]
)
@torch.no_grad()
def test_the_cascade_by_hand(cascade, expected):
    # Outputs .2, .4 and .8, every bias .1.
    matrices = random_matrices()
    model = build(matrices, embedding_size=1, cascade=cascade)
    model.user_embedding.fill_(1.0)
    model.item_embedding.fill_(1.0)
    model.item_bias.fill_(0.1)
    model.unit.output.copy_(torch.tensor([[0.2], [0.4], [0.8]]))
    found = [all_scores(model, matrices, behavior)[2, 3] for behavior in range(3)]
    assert found == pytest.approx(expected, rel=1e-6)


@torch.no_grad()
def test_the_average_cascade_in_closed_form():
    # o_3 = f_3 / 2 + f_2 / 4 + f_1 / 4 + 1.75 b.
    model = build(random_matrices(), cascade="average")
    outputs, biases = model._cascade()
    assert outputs[2].tolist() == [0.25, 0.25, 0.5]
    assert biases[2].sum().item() == 1.75


@torch.no_grad()
def test_units_that_give_nothing_leave_plain_matrix_factorization():
    matrices = random_matrices()
    model = build(matrices)
    model.item_bias.zero_()
    model.unit.output[:2] = 0.0
    x, y, h = model.user_embedding, model.item_embedding, model.unit.output[2]
    expected = ((x * h) @ y.T).numpy()
    np.testing.assert_allclose(all_scores(model, matrices, 2), expected, 1e-5, 1e-5)


@torch.no_grad()
def test_later_units_and_biases_that_give_nothing_leave_all_predictions_equal():
    matrices = random_matrices()
    model = build(matrices)
    model.unit.output[1:] = 0.0
    model.item_bias[:, 1:] = 0.0
    first, *others = (all_scores(model, matrices, behavior) for behavior in range(3))
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_one_behavior_is_matrix_factorization_with_a_logistic_loss():
    matrices = random_matrices(n_behaviors=1)
    model, batch = build(matrices), batch_of(matrices)
    x, y = model.user_embedding[batch.users] * model.unit.output[0], model.item_embedding
    logits = x @ y.T + model.item_bias[:, 0]
    pairs, m = batch.pairs[0], batch.negatives_per_positive
    positive = logits[pairs.rows, pairs.positives][::m]
    negative = logits[pairs.rows, pairs.negatives]
    total = -positive.sigmoid().log().sum() - (1 - negative.sigmoid()).log().sum()
    found = model.loss(model.encode(BehaviorGraph.build(matrices), batch.users), batch)
    torch.testing.assert_close(found[0], total / (len(positive) + len(negative)))


@pytest.mark.parametrize("unit", ["gmf", "neumf"])
def test_only_the_linear_unit_scores_by_one_product(unit):
    matrices = random_matrices()
    model = build(matrices, unit=unit)
    scorer = model.scorer(model.encode(BehaviorGraph.build(matrices)), 1)
    assert isinstance(scorer, ScoreFactors if unit == "gmf" else PartsScorer)


def test_it_refuses_what_does_not_fit_the_data():
    matrices = random_matrices()
    with pytest.raises(ConfigError, match=r"model\.loss_weights: 2 values for 3 behaviors"):
        check(NMTRConfig(loss_weights=(1.0, 2.0)), toy_dataset(matrices))
    with pytest.raises(ConfigError, match="several behaviors"):
        check(NMTRConfig(), toy_dataset(matrices[:1]))
