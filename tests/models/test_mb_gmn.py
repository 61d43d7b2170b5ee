"""MB-GMN keeps the contract and equals its dense twin; its networks have known special cases."""

from typing import ClassVar

import numpy as np
import pytest
import torch

from cigf.compiled import installed, switched
from cigf.errors import ConfigError
from cigf.graph.bipartite import BehaviorGraph
from cigf.models.base import Representations, Sizes
from cigf.models.registry import build_model, parse_model_config
from cigf.shapes import Nodes
from cigf.testing import RecommenderContract
from cigf.testing.toy import all_scores, one_batch, random_matrices
from models.graph_toys import toy_model
from reference import mb_gmn as reference


class TestMBGMN(RecommenderContract):
    name = "mb-gmn"
    options: ClassVar = {"embedding_size": 2, "rank": 1, "n_layers": 1, "score_scale": 1.0}
    learning_rate: ClassVar = 0.03

    def dense_scores(self, model, matrices, behavior):
        return reference.scores(model, matrices, behavior + 1)


def small(**options):
    return toy_model("mb-gmn", **{"embedding_size": 2, "rank": 1, "score_scale": 1.0, **options})


def test_the_loss_is_a_hinge_over_all_sources():
    model, matrices = small(), random_matrices()
    batch = one_batch(matrices)
    found = model.loss(model.encode(BehaviorGraph.build(matrices), batch.users), batch)
    for behavior, pairs in enumerate(batch.pairs):
        expected = 0.0
        users = batch.users[pairs.rows].numpy()
        for source in range(4):
            table = reference.scores(model, matrices, behavior + 1, source)
            margins = 1 - table[users, pairs.positives] + table[users, pairs.negatives]
            expected += np.maximum(margins, 0).mean()
        assert found[behavior].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.skipif(not installed(), reason="needs numba")
@pytest.mark.parametrize("n_layers", [0, 1, 2])
def test_gradients_do_not_depend_on_the_kernels_nor_on_whose_rows_are_wanted(n_layers):
    matrices, gradients = random_matrices(), []
    batch, graph = one_batch(matrices), BehaviorGraph.build(matrices)
    for on in (True, False):
        for all_users in (True, False):
            model = small(n_layers=n_layers)
            with switched(on=on):
                encoded = model.encode(graph, None if all_users else batch.users)
                if all_users:
                    encoded = Representations(encoded.users[batch.users], encoded.items)
                model.loss(encoded, batch).sum().backward()
            gradients.append([p.grad for p in model.parameters() if p.grad is not None])
    for each in gradients[1:]:
        for one, other in zip(each, gradients[0], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))


@torch.no_grad()
def test_transforms_have_their_rank_and_can_be_the_identity():
    model = toy_model("mb-gmn", embedding_size=5, rank=2)
    x = Nodes(torch.eye(5), torch.eye(5))
    zeros = Nodes(torch.zeros(5, 1, 5), torch.zeros(5, 1, 5))
    model.transforms.weight.zero_()  # the same transform for every node
    low = model.transforms(model.source_embedding[:1], x, zeros)
    assert torch.linalg.matrix_rank(low.users[:, 0, :5], rtol=1e-4) == 2
    model = toy_model("mb-gmn", embedding_size=5, rank=5)
    model.transforms.factor_weight.zero_()
    model.transforms.factor_bias.copy_(torch.eye(5).flatten().expand(2, 2, -1))
    same = model.transforms(model.source_embedding[1:2], x, zeros)
    torch.testing.assert_close(same.items[:, 0], torch.cat([x.items, x.items], 1))


@torch.no_grad()
def test_without_layers_and_transforms_all_sources_are_equal():
    model = small(n_layers=0)
    model.transforms.factor_weight.zero_()
    model.transforms.factor_bias.zero_()
    encoded = model.encode(BehaviorGraph.build(random_matrices()))
    torch.testing.assert_close(encoded.users, encoded.users[:, :1].expand(-1, 4, -1))
    assert (encoded.items[:, :, :2] == 0).all()
    torch.testing.assert_close(encoded.items[:, 2, 2:], model.item_embedding)


@torch.no_grad()
def test_without_meta_weights_one_network_scores_every_pair():
    model, matrices = small(), random_matrices()
    for number in (2, 3, 4):
        model.head.weights[number].zero_()
    model.head.biases[3].zero_()
    encoded = model.encode(BehaviorGraph.build(matrices))
    u, i = encoded.users[2, 0], encoded.items[:, 0]
    pairs = torch.cat([u * i, u.expand_as(i), i], 1)
    hidden = pairs @ model.head.biases[2].view(12, 4)
    expected = torch.where(hidden > 0, hidden, 0.1 * hidden) @ model.head.biases[4]
    np.testing.assert_allclose(all_scores(model, matrices, 1)[2], expected, 1e-4, 1e-5)
    np.testing.assert_allclose(all_scores(model, matrices, 0), all_scores(model, matrices, 2))


def test_it_has_as_many_parameters_as_published():
    # With Beibei's sizes.
    config = parse_model_config("mb-gmn", {})
    model = build_model("mb-gmn", config, Sizes(21716, 7977, 3), 0)
    assert sum(p.numel() for p in model.parameters()) == 800_992


def test_heads_divide_the_size():
    with pytest.raises(ConfigError, match="n_heads must divide twice the embedding_size"):
        parse_model_config("mb-gmn", {"embedding_size": 2, "n_heads": 3})
