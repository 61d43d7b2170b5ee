"""DIPN's adaptation keeps the contract and equals its dense twin, as a set and as sequences."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from cigf.errors import ConfigError
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.gather_sum import Edges
from cigf.models.dipn import check
from cigf.models.event_encoders import last_events
from cigf.models.registry import parse_model_config
from cigf.testing import RecommenderContract
from cigf.testing.toy import random_matrices, toy_dataset
from models.graph_toys import copied, toy_model
from reference import dipn as reference


def by_item(matrices):
    return [np.split(m.indices, m.indptr[1:-1]) for m in matrices]


class TestDIPN(RecommenderContract):
    name = "dipn"
    options: ClassVar = {"embedding_size": 5, "encoder": "set"}
    learning_rate: ClassVar = 0.03

    def dense_scores(self, model, matrices, behavior):
        return reference.scores(model, by_item(matrices), behavior)


def with_times(matrices, seed=0):
    """A graph with random times, and every user's items in their order."""
    generator = np.random.default_rng(seed)
    times = [generator.permutation(m.nnz) for m in matrices]
    graph = BehaviorGraph.build(matrices, times=times)
    ordered = [
        [items[np.argsort(when)] for items, when in zip(rows, whens, strict=True)]
        for rows, whens in zip(
            by_item(matrices),
            [np.split(t, m.indptr[1:-1]) for t, m in zip(times, matrices, strict=True)],
            strict=True,
        )
    ]
    return graph, ordered


@torch.no_grad()
def scores(model, graph, behavior=2, users=None):
    encoded = model.encode(graph, users)
    return model.scorer(encoded, behavior).block(torch.arange(len(encoded.users))).numpy()


@pytest.mark.parametrize("length", [2, 50])
def test_sequences_equal_the_dense_twin(length):
    model = toy_model("dipn", embedding_size=5, sequence_length=length)
    graph, ordered = with_times(random_matrices())
    for behavior in range(3):
        expected = reference.scores(model, ordered, behavior)
        np.testing.assert_allclose(scores(model, graph, behavior), expected, 1e-4, 1e-5)
    some = torch.tensor([5, 0, 3])
    np.testing.assert_allclose(scores(model, graph, users=some), expected[some], 1e-4, 1e-5)


def test_every_weight_of_a_sequence_learns():
    model = toy_model("dipn", embedding_size=5)
    graph, _ = with_times(random_matrices())
    model.encode(graph).users.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_order_counts_for_sequences_alone():
    matrices = random_matrices()
    (first, _), (second, _) = with_times(matrices, 0), with_times(matrices, 1)
    ordered, plain = (toy_model("dipn", encoder=each) for each in ("gru", "set"))
    assert not np.allclose(scores(ordered, first), scores(ordered, second))
    np.testing.assert_array_equal(scores(plain, first), scores(plain, second))


def test_an_empty_behavior_is_as_if_there_were_none():
    matrices = random_matrices()
    empty = matrices[0] * 0
    empty.eliminate_zeros()
    model = toy_model("dipn", encoder="set")
    fewer = toy_model("dipn", 2, encoder="set")
    state = model.state_dict()
    kept = {
        name.replace("encoders.1", "encoders.0").replace("encoders.2", "encoders.1"): (
            value[1:] if name.startswith("task") else value
        )
        for name, value in state.items()
        if not name.startswith("encoders.0")
    }
    fewer.load_state_dict(kept)
    found = scores(model, BehaviorGraph.build((empty, *matrices[1:])))
    expected = scores(fewer, BehaviorGraph.build(matrices[1:]), 1)
    np.testing.assert_allclose(found, expected, 1e-5, 1e-6)


@torch.no_grad()
def test_one_event_is_what_its_user_is():
    model = toy_model("dipn", encoder="set")
    model.task_weight.zero_()
    model.task_bias.zero_()
    single = Edges(torch.tensor([0, 1]), torch.tensor([4]), 11)
    none = Edges(torch.tensor([0, 0]), torch.tensor([], dtype=torch.int64), 11)
    memory = model.remember(BehaviorGraph.build(random_matrices()))
    found = model.fold_in(memory, [none, single, none], torch.tensor([-1]))
    torch.testing.assert_close(found[0], model.item_embedding[4].expand(3, -1))
    nobody = model.fold_in(memory, [none] * 3, torch.tensor([-1]))
    assert (nobody == 0).all()


def test_sequences_cannot_fold_in_events_without_times():
    model = toy_model("dipn")
    graph, _ = with_times(random_matrices())
    assert model.remember(graph) == {}
    with pytest.raises(ConfigError, match="DIPN cannot represent users by events"):
        model.fold_in({}, graph.to_users, torch.arange(7))


def test_last_events_by_hand():
    events = Edges(torch.tensor([0, 3, 3, 4]), torch.tensor([8, 2, 5, 7]), 11)
    places, there = last_events(events, 2)
    assert places.tolist() == [[2, 5], [0, 0], [7, 0]]
    assert there.tolist() == [[True, True], [False, False], [True, False]]


def test_it_refuses_what_does_not_fit_the_data():
    dataset = toy_dataset(random_matrices())
    config = parse_model_config("dipn", {})
    with pytest.raises(ConfigError, match=r"behavior0, .*no times here; .*model\.encoder=set"):
        check(config, dataset)
    times = tuple(np.arange(m.nnz) for m in dataset.interactions)
    check(config, replace(dataset, times=times))
    check(parse_model_config("dipn", {"encoder": "set"}), dataset)
    with pytest.raises(ConfigError, match="several behaviors"):
        check(config, toy_dataset(random_matrices(n_behaviors=1)))


def test_models_with_the_same_weights_agree():
    model, graph = toy_model("dipn"), with_times(random_matrices())[0]
    np.testing.assert_array_equal(scores(copied(model, "dipn", 3), graph), scores(model, graph))
