"""Learning rates by hand."""

import math

import pytest

from cigf.errors import ConfigError
from cigf.models.base import Sizes
from cigf.models.registry import build_model, parse_model_config
from cigf.training.config import TrainingConfig
from cigf.training.optimizers import build_optimizer, learning_rate


@pytest.mark.parametrize(
    ("options", "step", "expected"),
    [
        ({"schedule": "constant"}, 73, 0.1),
        ({"schedule": "staircase", "decay_rate": 0.5, "decay_steps": 10}, 9, 0.1),
        ({"schedule": "staircase", "decay_rate": 0.5, "decay_steps": 10}, 10, 0.05),
        ({"schedule": "staircase", "decay_rate": 0.5, "decay_steps": 10}, 39, 0.0125),
        ({"schedule": "cosine"}, 0, 0.1),
        ({"schedule": "cosine"}, 50, 0.05),
        ({"schedule": "cosine"}, 25, 0.05 * (1 + math.cos(math.pi / 4))),
        ({"schedule": "cosine", "final_learning_rate": 0.2}, 100, 0.02),
        ({"schedule": "linear"}, 75, 0.025),
        ({"schedule": "linear", "final_learning_rate": 0.2}, 75, 0.1 * (0.2 + 0.8 * 0.25)),
        ({"schedule": "constant", "warmup_steps": 4}, 0, 0.025),
        ({"schedule": "constant", "warmup_steps": 4}, 3, 0.1),
        ({"schedule": "constant", "warmup_steps": 4}, 50, 0.1),
    ],
)
def test_learning_rate_of_a_step(options, step, expected):
    config = TrainingConfig(learning_rate=0.1, **options)
    assert learning_rate(config, step, 100) == pytest.approx(expected)


@pytest.mark.parametrize(("device", "fused"), [("cpu", True), ("meta", False)])
def test_adagrad_is_in_one_pass_where_every_pytorch_has_it(device, fused):
    config = parse_model_config("lightgcn", {"embedding_size": 3})
    model = build_model("lightgcn", config, Sizes(5, 7, 1), 0).to(device)
    optimizer = build_optimizer(model, TrainingConfig(optimizer="adagrad"))
    assert optimizer.defaults["fused"] == fused


def test_unknown_optimizer_is_refused():
    with pytest.raises(
        ConfigError, match=r"training\.optimizer: .*'adam', 'adamw', 'adagrad' or 'sgd'"
    ):
        TrainingConfig.parse({"optimizer": "rmsprop"}, "training")
