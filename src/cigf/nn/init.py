"""Initializers that take their generator: no draw comes from a global source."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def xavier_uniform(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Uniform in +-sqrt(6 / (fan_in + fan_out)); the fans are the last two axes (Glorot 2010)."""
    bound = math.sqrt(6.0 / (shape[-2] + shape[-1]))
    return torch.empty(*shape).uniform_(-bound, bound, generator=generator)


def normal(shape: Sequence[int], deviation: float, generator: torch.Generator) -> Tensor:
    """Normal with mean 0 and the given standard deviation."""
    return torch.empty(*shape).normal_(0.0, deviation, generator=generator)


def truncated_normal(shape: Sequence[int], deviation: float, generator: torch.Generator) -> Tensor:
    """Normal with mean 0, drawn again beyond two standard deviations."""
    limit = 2.0 * deviation
    empty = torch.empty(*shape)
    return torch.nn.init.trunc_normal_(empty, 0.0, deviation, -limit, limit, generator)


def uniform(shape: Sequence[int], bound: float, generator: torch.Generator) -> Tensor:
    """Uniform in +-bound."""
    return torch.empty(*shape).uniform_(-bound, bound, generator=generator)
