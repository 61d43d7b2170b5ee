import numpy as np
import polars as pl
import pytest
import torch

from cigf.analysis.relations import has_relations, relation_table, top_and_bottom
from cigf.data.behaviors import Behaviors
from cigf.errors import ConfigError
from cigf.models.base import Sizes
from cigf.models.registry import build_model, parse_model_config
from cigf.nn.attention import SLOPE
from reference.cigf import attention, weights_of

SIZES = Sizes(13, 5, 2)
NAMES = Behaviors(("view", "buy"))


def build(**options):
    values = {"embedding_size": 3, "n_layers": 3, **options}
    model = build_model("cigf", parse_model_config("cigf", values), SIZES, 0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(len(parameter)))
    return model


def test_one_weight_for_all_gives_the_products_by_hand():
    model = build(attention="global")
    with torch.no_grad():
        model.convolution.attention.weight.copy_(torch.tensor([[0.5, -2.0]]))
    view, buy = 0.5, -2.0 * SLOPE
    table = relation_table(model, NAMES, user=4)
    rows = {tuple(relation): weight for relation, weight in table["relation", "average"].rows()}
    assert rows == pytest.approx(
        {
            ("view", "view"): view,
            ("view", "buy"): buy,
            ("buy", "view"): view,
            ("buy", "buy"): buy,
            **{(k, j, m): w for k in NAMES for j, m, w in _products(view, buy)},
        }
    )
    assert table["weight"].to_list() == pytest.approx(table["average"].to_list())
    assert table["order"].to_list() == [2] * 4 + [3] * 8


def _products(view, buy):
    weights = {"view": view, "buy": buy}
    return [(j, m, weights[j] * weights[m]) for j in NAMES for m in NAMES]


@pytest.mark.parametrize("heads", [1, 2])
def test_weights_are_products_along_the_relation_and_means_over_users(heads):
    model = build(n_heads=heads)
    w = weights_of(model)
    users = w["user_embedding"]
    table = relation_table(model, NAMES, user=7)
    for relation, average, weight in table["relation", "average", "weight"].iter_rows():
        k, *rest = map(NAMES.index, relation)
        expected = np.ones(13)
        for layer, j in enumerate(rest, start=2):
            by_head = [attention(model.config, w, users, layer, h, k, 2) for h in range(heads)]
            expected *= sum(by_head)[:, j]
        assert average == pytest.approx(expected.mean(), rel=1e-4, abs=1e-6)
        assert weight == pytest.approx(expected[7], rel=1e-4, abs=1e-6)


def test_walks_begin_at_the_user():
    names = Behaviors(("a", "b"))
    row = pl.col("relation") == ["a", "b", "b"]
    reference = relation_table(build(chain="reference"), names).filter(row)
    paper = relation_table(build(chain="paper"), names)
    assert reference["walk"].to_list() == [["b", "b", "a"]]
    walks = dict(zip(map(tuple, paper["relation"]), map(tuple, paper["walk"]), strict=True))
    assert walks["a", "b", "a"] == ("a", "a", "b")
    assert walks["b", "a"] == ("b", "a")


def test_top_and_bottom_of_each_order():
    table = relation_table(build(), NAMES)
    ends = top_and_bottom(table, 2)
    for order, n_relations in ((2, 4), (3, 8)):
        own = ends.filter(order=order)
        ordered = table.filter(order=order)["average"].sort(descending=True)
        assert own["rank"].to_list() == [1, 2, n_relations - 1, n_relations]
        assert own["average"].to_list() == [ordered[r - 1] for r in own["rank"]]
    assert top_and_bottom(table.filter(order=2), 3).height == 4


@pytest.mark.parametrize("options", [{"chain": "independent"}, {"n_layers": 1}])
def test_models_without_relations_are_refused(options):
    model = build(**options)
    assert not has_relations(model)
    with pytest.raises(ConfigError, match="weighs no relations"):
        relation_table(model, NAMES)
