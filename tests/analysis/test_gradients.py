import numpy as np
import pytest
import torch

from cigf.analysis.gradients import gradient_conflicts
from cigf.data.behaviors import Behaviors
from cigf.graph.bipartite import BehaviorGraph
from cigf.models.base import Recommender, Representations, Sizes
from cigf.models.registry import build_model, parse_model_config
from cigf.ranking import ScoreFactors
from cigf.shapes import Batch
from cigf.testing.toy import one_batch, random_matrices

NAMES = Behaviors(("view", "cart", "buy"))


class Pulls(Recommender):
    """Every task pulls all vectors of each input in a direction of its own, (B, T, D)."""

    def __init__(self, directions):
        super().__init__()
        self.directions = torch.tensor(directions)

    def encode(self, graph, users=None):
        n_inputs, size = self.directions.shape[1:]
        n = graph.n_users if users is None else len(users)
        return Representations(torch.ones(n, n_inputs, size), torch.ones(11, n_inputs, size))

    def loss(self, representations, batch):
        sums = representations.users.sum(0) + representations.items.sum(0)
        return (self.directions * sums).sum((1, 2))

    def scorer(self, representations, behavior):
        return ScoreFactors(representations.users, representations.items)


def conflicts(model, n_behaviors=3):
    matrices = random_matrices(n_behaviors=n_behaviors)
    names = Behaviors(NAMES.names[:n_behaviors])
    return gradient_conflicts(model, BehaviorGraph.build(matrices), one_batch(matrices), names)


def test_angles_of_known_directions():
    right, left, up = [1.0, 0.0], [-1e-30, 0.0], [0.0, 2.0]
    model = Pulls([[right, right], [left, up], [[0.0, 0.0], [1.0, 1.0]]])
    table = conflicts(model)
    rows = {row[:3]: row[3:] for row in table.iter_rows()}
    assert rows["1", "view", "cart"] == (pytest.approx(-1), 1.0, 17)
    assert rows["1", "view", "buy"] == (None, None, 0)  # the third does not reach this input
    assert rows["2", "view", "cart"] == (pytest.approx(0), 0.0, 17)
    assert rows["2", "view", "buy"][0] == pytest.approx(np.sqrt(0.5))
    assert table.height == 6


def build(**options):
    config = parse_model_config("cigf", {"embedding_size": 5, "score_scale": 3.0, **options})
    return build_model("cigf", config, Sizes(7, 11, 3), 0)


def slow_cosines(model, place, first, second):
    """By torch's own gradients of each task's loss alone."""
    matrices = random_matrices()
    graph, batch = BehaviorGraph.build(matrices), one_batch(matrices)
    gradients = []
    for task in (first, second):
        encoded = model.encode(graph, batch.users)
        encoded.users.retain_grad()
        encoded.items.retain_grad()
        model.loss(encoded, batch)[task].backward()
        both = torch.cat([encoded.users.grad, encoded.items.grad])[:, place].double().numpy()
        gradients.append(both)
    norms = [np.linalg.norm(each, axis=1) for each in gradients]
    reached = (norms[0] > 0) & (norms[1] > 0)
    return (gradients[0] * gradients[1]).sum(1)[reached] / (norms[0] * norms[1])[reached]


def test_cosines_are_those_of_single_losses():
    model = build()
    table = conflicts(model)
    for row in table.iter_rows(named=True):
        place, first, second = (NAMES.index(row[name]) for name in ("input", "first", "second"))
        expected = slow_cosines(model, place, first, second)
        assert row["n_nodes"] == len(expected) > 0
        assert row["cosine"] == pytest.approx(expected.mean(), abs=1e-5)
        assert row["conflicting"] == pytest.approx((expected < 0).mean())


def test_one_shared_input_is_pulled_alike_everywhere():
    """The bilinear head's gradient reaches all representations through their mean."""
    table = conflicts(build(head="bilinear"))
    shared = table.drop("input").group_by("first", "second", maintain_order=True)
    for _, rows in shared:
        assert rows["cosine"].to_list() == pytest.approx([rows["cosine"][0]] * 3, abs=1e-6)
        assert rows["n_nodes"].n_unique() == 1


def test_opposite_relations_conflict_where_one_input_is_shared():
    # With scores near 0 every pair pulls with the same strength, whatever the task.
    model = build(head="bilinear", score_scale=1e-3)
    with torch.no_grad():
        model.head.relation[2] = -model.head.relation[0]
    matrices = [random_matrices(n_behaviors=1)[0]] * 3
    batch = one_batch(matrices)
    alike = Batch(batch.users, (batch.pairs[0],) * 3)
    table = gradient_conflicts(model, BehaviorGraph.build(matrices), alike, NAMES)
    opposed = table.filter(first="view", second="buy")
    assert opposed["cosine"].to_list() == pytest.approx([-1.0] * 3, abs=1e-4)
    assert opposed["conflicting"].to_list() == [1.0] * 3


def test_nothing_is_left_in_the_model():
    model = build()
    conflicts(model)
    assert all(parameter.grad is None for parameter in model.parameters())
