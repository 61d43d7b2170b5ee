import numpy as np
import pytest
import torch

from cigf.analysis import gates
from cigf.analysis.gates import expert_utilization, has_gates
from cigf.data.behaviors import Behaviors
from cigf.errors import ConfigError, DataError
from cigf.models.base import Representations, Sizes
from cigf.models.registry import build_model, parse_model_config
from reference.shares import gated_weights

NAMES = Behaviors(("view", "cart", "buy"))
PAIRS = [(0, 3), (4, 3), (4, 0), (2, 1), (1, 2)]
USERS, ITEMS = np.ascontiguousarray(np.array(PAIRS).T)


def build(**options):
    config = parse_model_config("cigf", {"embedding_size": 4, **options})
    return build_model("cigf", config, Sizes(5, 13, 3), 0).requires_grad_(False)


@pytest.fixture
def encoded():
    generator = torch.Generator().manual_seed(0)
    shapes = ((5, 3, 4), (13, 3, 4))
    return Representations(*(torch.empty(s).normal_(generator=generator) for s in shapes))


def by_expert(table):
    return dict(zip(table["expert"], table["weight"], strict=True))


def test_mesi_gives_the_mean_of_its_gates(encoded, monkeypatch):
    monkeypatch.setattr(gates, "_PAIRS_AT_ONCE", 2)
    model = build()
    table = expert_utilization(model, encoded, USERS, ITEMS, NAMES)
    x, y = encoded.users.double().numpy(), encoded.items.double().numpy()
    for task, name in enumerate(NAMES):
        expected = [gated_weights(model, x[u], y[i], task) for u, i in PAIRS]
        own = table.filter(task=name)
        assert own["expert"].to_list() == list(NAMES)
        np.testing.assert_allclose(own["weight"], np.mean(expected, axis=0), rtol=1e-5)
        np.testing.assert_allclose(own["deviation"], np.std(expected, axis=0), rtol=1e-4)


def test_a_gate_at_its_bias_gives_the_softmax_of_the_bias(encoded):
    model = build()
    model.head.gate.zero_()
    model.head.gate_bias.copy_(torch.log(torch.tensor([1.0, 2.0, 5.0])))
    table = expert_utilization(model, encoded, USERS, ITEMS, NAMES, ["buy"])
    assert by_expert(table) == pytest.approx({"view": 0.125, "cart": 0.25, "buy": 0.625})
    assert table["deviation"].to_list() == pytest.approx([0, 0, 0], abs=1e-7)


@pytest.mark.parametrize(
    ("options", "experts"),
    [
        ({"head": "mmoe", "n_experts": 2}, ["shared 1", "shared 2"]),
        (
            {"head": "ple", "n_specific_experts": 2, "n_shared_experts": 1},
            ["cart 3", "cart 4", "shared 7"],
        ),
    ],
)
def test_experts_of_other_heads_are_own_or_shared(encoded, options, experts):
    table = expert_utilization(build(**options), encoded, USERS, ITEMS, NAMES, ["cart"])
    assert table["expert"].to_list() == experts
    assert table["weight"].sum() == pytest.approx(1)


def test_heads_without_gates_are_refused(encoded):
    model = build(head="bilinear")
    assert not has_gates(model)
    with pytest.raises(ConfigError, match="heads with gates: mesi, mmoe, ple"):
        expert_utilization(model, encoded, USERS, ITEMS, NAMES)


def test_an_unknown_task_is_refused(encoded):
    with pytest.raises(DataError, match="did you mean buy"):
        expert_utilization(build(), encoded, USERS, ITEMS, NAMES, ["bye"])
