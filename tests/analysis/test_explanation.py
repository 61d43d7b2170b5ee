"""Scores are taken apart into shares that add up, beside a dense twin."""

import numpy as np
import polars as pl
import pytest
import torch

from cigf.analysis.explanation import Explainer
from cigf.data.behaviors import Behaviors
from cigf.data.dataset import Dataset
from cigf.errors import ArtifactError, ConfigError
from cigf.graph.bipartite import BehaviorGraph
from cigf.models.base import Representations, Sizes
from cigf.models.registry import build_model, parse_model_config
from cigf.testing.toy import random_matrices, toy_dataset
from reference import cigf as reference
from reference.shares import event_shares, gated_weights

USER, ITEM = 3, 4
VARIANTS = [
    *(
        {"chain": c, "n_layers": n}
        for c in ("reference", "paper", "independent")
        for n in (1, 2, 3, 4)
    ),
    *({"normalization": n, "n_layers": 3} for n in ("column", "symmetric", "none")),
    {"n_heads": 2, "n_layers": 3},
    {"n_heads": 2, "n_layers": 3, "chain": "paper"},
    {"attention": "global", "n_layers": 3},
    *({"head": "bilinear", "head_input": f} for f in ("average", "sum", "separate")),
]


def build(options, matrices, seed=0):
    n_users, n_items = matrices[0].shape
    sizes = Sizes(n_users, n_items, len(matrices))
    values = {"embedding_size": 5, **options}
    model = build_model("cigf", parse_model_config("cigf", values), sizes, seed).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.empty_like(parameter).normal_(generator=generator))
    return model


def explainer_of(model, matrices, names=("view", "cart", "buy")):
    data = toy_dataset(matrices)
    renamed = Dataset(Behaviors(names), data.users, data.items, data.interactions, data.times)
    graph = BehaviorGraph.build(matrices)
    with torch.no_grad():
        encoded = model.encode(graph)
    return Explainer(model, encoded, graph, renamed)


def explain(options, task=2, k=5):
    matrices = random_matrices()
    model = build(options, matrices)
    return model, matrices, explainer_of(model, matrices).explain(USER, ITEM, task, k)


@pytest.mark.parametrize("options", VARIANTS, ids=str)
@pytest.mark.parametrize("task", [0, 2])
def test_shares_add_up_to_the_score(options, task):
    model, matrices, found = explain(options, task)
    expected = reference.scores(model, matrices, task)[USER, ITEM]
    within = {"rel": 1e-4, "abs": 1e-4 * found.shares["share"].abs().sum()}
    assert found.score == pytest.approx(expected, **within)
    assert found.shares["share"].sum() == pytest.approx(expected, **within)
    assert found.layers["share"].sum() == pytest.approx(expected, **within)
    if found.experts.height:
        assert found.experts["share"].sum() == pytest.approx(expected, **within)
        assert found.experts["weight"].sum() == pytest.approx(1)


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_the_share_of_each_event_is_that_of_the_dense_twin(options):
    model, matrices, found = explain(options)
    events = found.shares.group_by("behavior", "item_id").agg(pl.col("share").sum())
    expected = event_shares(model, matrices, USER, ITEM, 2)
    names = {"view": 0, "cart": 1, "buy": 2, None: None}
    shares = {(names[b], i and int(i[1:])): share for b, i, share in events.iter_rows()}
    assert shares.keys() == expected.keys()
    for event, share in expected.items():
        assert shares[event] == pytest.approx(share, rel=1e-3, abs=1e-4 * abs(found.score)), event


def test_every_event_stands_once_for_each_way_to_the_item():
    _, matrices, found = explain({})
    n_events = sum(np.diff(matrix.indptr)[USER] for matrix in matrices)
    assert found.shares.height == (n_events + 1) * 4
    assert found.shares.select("behavior", "item_id", "through").is_unique().all()
    assert found.shares["share"].is_sorted(descending=True)


def test_experts_are_weighed_by_the_gate():
    model, matrices, found = explain({})
    encoded = reference.representations(model, matrices)
    weights = gated_weights(model, encoded[USER], encoded[7 + ITEM], 2)
    np.testing.assert_allclose(found.experts["weight"].to_numpy(), weights, rtol=1e-4)
    assert found.experts["expert"].to_list() == ["view", "cart", "buy"]


def test_paths_are_the_events_with_the_largest_shares():
    _, _, found = explain({}, k=100)
    events = found.shares.drop_nulls("behavior").group_by("behavior", "item_id")
    totals = events.agg(pl.col("share").sum()).filter(pl.col("share") > 0)
    assert found.paths.select("behavior", "item_id").is_unique().all()
    assert found.paths["share"].to_list() == pytest.approx(totals["share"].sort(descending=True))
    assert explain({}, k=2)[2].paths.equals(found.paths.head(2))


def test_paths_count_the_others_at_both_ends():
    _, matrices, found = explain({}, k=100)
    names = {"view": 0, "cart": 1, "buy": 2}
    dense = [matrix.toarray() > 0 for matrix in matrices]

    def others(behavior, item, through):
        both = dense[names[behavior]][:, int(item[1:])] & dense[names[through]][:, ITEM]
        both[USER] = False
        return both.sum()

    columns = ("behavior", "item_id", "through", "n_others")
    ways = found.paths.select(columns).rows()
    assert sum(way is not None for _, _, way, _ in ways) > 2
    for behavior, item, through, n_others in ways:
        event = found.shares.filter(behavior=behavior, item_id=item)
        better = event.filter(pl.col("share") > 0).drop_nulls("through")["through"].to_list()
        better = better if through is None else better[: better.index(through)]
        assert all(others(behavior, item, way) == 0 for way in better)
        assert n_others == (0 if through is None else others(behavior, item, through))


def test_the_heaviest_relations_of_the_user_stand_first():
    _, _, found = explain({"n_layers": 3})
    for order, n_relations in ((2, 9), (3, 27)):
        weights = found.relations.filter(order=order)["weight"]
        assert len(weights) == n_relations
        assert weights.is_sorted(descending=True)


@pytest.mark.parametrize("options", [{"chain": "independent"}, {"n_layers": 1}])
def test_without_interaction_there_are_no_relations(options):
    assert explain(options)[2].relations.is_empty()


def test_the_bilinear_head_has_no_gate():
    found = explain({"head": "bilinear"})[2]
    assert found.experts.is_empty()
    assert found.to_json()["experts"] == []


def test_someone_without_events_is_explained_by_herself():
    matrices = random_matrices()
    found = explainer_of(build({}, matrices), matrices).explain(0, ITEM, 2)
    assert found.shares["behavior"].null_count() == found.shares.height == 4
    assert found.shares["share"].sum() == pytest.approx(found.score, rel=1e-4)


@pytest.mark.parametrize(
    "options", [{"head": "ple"}, {"head": "shared-bottom"}, {"aggregator": "ngcf"}], ids=str
)
def test_other_models_are_refused_and_told_which_can(options):
    matrices = random_matrices()
    with pytest.raises(ConfigError, match=r'cannot be explained.*cigf.*"lightgcn".*"bilinear"'):
        explainer_of(build(options, matrices), matrices)


def test_representations_of_another_graph_are_refused():
    matrices = random_matrices()
    model, graph = build({}, matrices), BehaviorGraph.build(matrices)
    with torch.no_grad():
        encoded = model.encode(BehaviorGraph.build(random_matrices(seed=1)))
    explainer = Explainer(
        model, Representations(encoded.users, encoded.items), graph, toy_dataset(matrices)
    )
    with pytest.raises(ArtifactError, match="are not those of its graph"):
        explainer.explain(USER, ITEM, 2)
