"""Optimizers and learning-rate schedules by name; both are functions of the options alone."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from cigf.models.base import Recommender
from cigf.training.config import OptimizerName, ScheduleName, TrainingConfig

_OPTIMIZERS: dict[OptimizerName, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    # Squares begin at 0.1, as where the published programs that use it come from; from 0 the
    # first step would move every weight by the whole learning rate.
    "adagrad": partial(torch.optim.Adagrad, initial_accumulator_value=0.1),
    "sgd": torch.optim.SGD,
}


def build_optimizer(model: Recommender, config: TrainingConfig) -> torch.optim.Optimizer:
    """Build the optimizer with the L2 term inside its step.

    The gradient of lambda * |w|^2 is 2 lambda w, which is what `weight_decay` = 2 lambda adds to
    the gradient of "adam" and "sgd": the same step as with the term in the loss, without a pass
    over the whole tables to compute it.
    """
    regularized = model.regularized()
    known = {id(parameter) for parameter in regularized}
    others: list[nn.Parameter] = [p for p in model.parameters() if id(p) not in known]
    groups = [
        {"params": regularized, "weight_decay": 2.0 * config.l2},
        {"params": others, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    build = _OPTIMIZERS[config.optimizer]
    # PyTorch 2.8 has Adagrad in one pass on the CPU only.
    on_cpu = all(p.device.type == "cpu" for p in model.parameters())
    fused = on_cpu or config.optimizer != "adagrad"
    return build(groups, lr=config.learning_rate, fused=fused)


Schedule = Callable[[TrainingConfig, int, int], float]
"""(options, step, steps in all) -> learning rate as a share of the highest."""


def _down_to(config: TrainingConfig, share: float) -> float:
    return config.final_learning_rate + (1.0 - config.final_learning_rate) * share


_SCHEDULES: dict[ScheduleName, Schedule] = {
    "constant": lambda config, step, total: 1.0,
    "staircase": lambda config, step, total: config.decay_rate ** (step // config.decay_steps),
    "cosine": lambda config, step, total: _down_to(
        config, 0.5 * (1.0 + math.cos(math.pi * min(1.0, step / total)))
    ),
    "linear": lambda config, step, total: _down_to(config, max(0.0, 1.0 - step / total)),
}


def learning_rate(config: TrainingConfig, step: int, total: int) -> float:
    """Return the learning rate of a step (from 0) of `total`; stateless, so resuming is exact."""
    share = _SCHEDULES[config.schedule](config, step, total)
    warmup = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    return config.learning_rate * share * warmup
