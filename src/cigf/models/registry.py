"""The models by name: a literal table, the only place where a string becomes a model class."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from cigf.config import Config
from cigf.errors import ConfigError, did_you_mean
from cigf.models.base import Recommender, Sizes
from cigf.models.cigf import CIGF, CIGFConfig


@dataclass(frozen=True)
class ModelEntry:
    """A model's configuration class and its constructor."""

    config: type[Config]
    build: Callable[[Any, Sizes, torch.Generator], Recommender]


MODELS: dict[str, ModelEntry] = {
    "cigf": ModelEntry(CIGFConfig, CIGF),
}


def model_entry(name: str) -> ModelEntry:
    """Return the entry of a model.

    Raises:
        ConfigError: There is no such model; names the closest.
    """
    if name not in MODELS:
        raise ConfigError(
            f"model {name!r} is unknown{did_you_mean(name, MODELS)} (models: {', '.join(MODELS)})"
        )
    return MODELS[name]


def parse_model_config(name: str, values: Mapping[str, Any]) -> Config:
    """Check a model's options.

    Raises:
        ConfigError: The model or one of the options is unknown, or a value is out of range.
    """
    return model_entry(name).config.parse(values, section="model")


def build_model(name: str, config: Config, sizes: Sizes, seed: int) -> Recommender:
    """Build a model with freshly drawn weights; the same seed gives the same bits."""
    generator = torch.Generator().manual_seed(seed)
    return model_entry(name).build(config, sizes, generator)
