"""CIGF+ keeps the contract and equals its dense twin; its lessons hide what they teach."""

from typing import ClassVar, get_args

import numpy as np
import pytest
import torch

from cigf.errors import ConfigError
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.cooccurrence import matrices_of
from cigf.graph.evidence import FeatureGroup, feature_groups
from cigf.graph.rehearsals import NOTHING
from cigf.models.registry import model_entry, parse_model_config
from cigf.nn.pair_terms import Term
from cigf.testing import RecommenderContract
from cigf.testing.toy import all_scores, one_batch, random_matrices
from models.graph_toys import toy_model
from reference import cigf_plus as reference

SMALL = {
    "embedding_size": 3,
    "hidden_size": 5,
    "n_networks": 2,
    "n_sampled": 7,
    "n_rehearsals": 4,
    "n_coordinates": 3,
    "score_scale": 1.0,
}


class TestCIGFPlus(RecommenderContract):
    name = "cigf-plus"
    # One rehearsal, in which touched and new items are hidden: only then all parameters learn.
    options: ClassVar = {**SMALL, "n_rehearsals": 1}

    def dense_scores(self, model, matrices, behavior):
        return reference.scores(model, matrices, behavior)


def lesson_of(model, graph, seed):
    """The losses' rehearsal and sampled items, drawn as a step draws them."""
    torch.manual_seed(seed)
    lessons = model._lessons(graph)
    lesson = lessons[int(torch.randint(len(lessons), ()))]
    return lesson, torch.randint(graph.n_items, (model.config.n_sampled,)).tolist()


@pytest.mark.parametrize("seed", range(4))
def test_the_losses_are_those_of_the_lists(seed):
    matrices = random_matrices()
    model, graph = toy_model("cigf-plus", **SMALL), BehaviorGraph.build(matrices)
    batch = one_batch(matrices, seed, sampling=model_entry("cigf-plus").defaults["sampling"])
    with torch.random.fork_rng([]):
        lesson, sampled = lesson_of(model, graph, seed)
        torch.manual_seed(seed)
        found = model(graph, batch)
    hidden = lesson.hidden.numpy()
    rehearsed = matrices_of(lesson.graph)
    expected = reference.losses(model, rehearsed, hidden, sampled, batch)
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-4)
    hides = np.flatnonzero(hidden != NOTHING)
    assert 0 < len(hides) < len(hidden)


def test_the_rehearsals_of_the_toy_hide_touched_and_new_items():
    """What the test of the losses needs: users that hide the one, the other, and nothing."""
    matrices = random_matrices()
    graph = BehaviorGraph.build(matrices)
    kinds = set()
    for lesson in toy_model("cigf-plus", **SMALL)._lessons(graph):
        users = (lesson.hidden != NOTHING).nonzero()[:, 0]
        kinds |= set(lesson.is_new(users).tolist())
    assert kinds == {False, True}


def test_forms_of_other_sizes_share_the_rehearsals():
    graph = BehaviorGraph.build(random_matrices())
    other = {**SMALL, "hidden_size": 7, "n_networks": 1, "embedding_size": 4, "without": ["core"]}
    hidden = [
        torch.stack([lesson.hidden for lesson in toy_model("cigf-plus", **options)._lessons(graph)])
        for options in (SMALL, other)
    ]
    assert torch.equal(*hidden)


def test_the_network_can_do_without_coordinates():
    matrices = random_matrices()
    model = toy_model("cigf-plus", **{**SMALL, "n_coordinates": 0})
    expected = reference.scores(model, matrices, 2)
    np.testing.assert_allclose(all_scores(model, matrices), expected, rtol=1e-4, atol=1e-4)
    batch = one_batch(matrices, sampling=model_entry("cigf-plus").defaults["sampling"])
    assert model(BehaviorGraph.build(matrices), batch).isfinite().all()


@pytest.mark.parametrize("n_behaviors", [1, 3])
def test_hidden_purchases_do_not_reach_the_embeddings(n_behaviors):
    matrices = random_matrices(n_behaviors=n_behaviors)
    model = toy_model("cigf-plus", n_behaviors=n_behaviors, **SMALL, auxiliary_weight=0.0)
    batch = one_batch(matrices, sampling=model_entry("cigf-plus").defaults["sampling"])
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model(BehaviorGraph.build(matrices), batch).sum().backward()
    gradient = model.core.user_embedding.grad
    assert gradient is None or not gradient.any()
    assert model.terms.count_weight.grad.abs().sum() > 0


def test_with_one_behavior_the_core_has_no_say():
    """Nothing teaches its embeddings: they would be noise in every score."""
    matrices = random_matrices(n_behaviors=1)
    model = toy_model("cigf-plus", n_behaviors=1, **SMALL)
    before = all_scores(model, matrices)
    with torch.no_grad():
        model.core.user_embedding += 1.0
        model.terms.core_weight += 1.0
    np.testing.assert_array_equal(all_scores(model, matrices), before)


@pytest.mark.parametrize("part", [*get_args(FeatureGroup), *get_args(Term)])
def test_parts_that_are_left_out_have_no_say(part):
    """Whatever a part has learned, or is told, does not change the scores."""
    matrices = random_matrices()
    graph = BehaviorGraph.build(matrices)
    target = len(matrices) - 1
    found = []
    for value in (0.3, 0.7):
        model = toy_model("cigf-plus", **SMALL, without=[part])
        with torch.no_grad():
            change(model, part, value)
        found.append(model.scorer(model.encode(graph), target).block(torch.arange(4)))
    torch.testing.assert_close(found[0], found[1])


def test_a_part_that_is_none_is_answered_with_all_of_them():
    with pytest.raises(ConfigError, match=r"without\.0: .*given was 'levels'") as error:
        parse_model_config("cigf-plus", {"without": ["levels"]})
    for part in (*get_args(FeatureGroup), *get_args(Term)):
        assert f"'{part}'" in str(error.value)


def change(model, part, value):
    """Set what the part's learned weights are read from."""
    groups = feature_groups(3, SMALL["n_coordinates"])
    if part in groups:
        start = sum(list(groups.values())[: list(groups).index(part)])
        for network in model.terms.touched:
            network.layers[0].weight[:, start : start + groups[part]] = value
    elif part == "core":
        model.core.item_embedding.fill_(value)
    elif part == "level":
        model.terms.level.layers[0].weight.fill_(value)
    elif part == "nearness":
        model.terms.relation_weight.fill_(value)
        model.terms.sharpness.fill_(value)
    else:
        model.terms.count_weight.fill_(value)
