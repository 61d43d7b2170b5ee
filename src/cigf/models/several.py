"""What models of several behaviors share: the refusal of a single one, and weights of each.

Axes: B behaviors.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from cigf.config import Config
from cigf.data.dataset import Dataset
from cigf.errors import ConfigError


def check_several(config: Config, dataset: Dataset) -> None:
    """Refuse a dataset with a single behavior.

    Raises:
        ConfigError: There is only one.
    """
    names = dataset.behaviors.names
    if len(names) < 2:
        raise ConfigError(
            f"this model combines several behaviors: the dataset has {names[0]} alone. "
            "Prepare the data with two or more --behaviors, or train a model of one behavior"
        )


def check_shares(
    option: str, given: Sequence[float], dataset: Dataset, otherwise: str = "equal weights"
) -> None:
    """Refuse weights of behaviors that do not fit the dataset.

    Args:
        option: Name of the option.
        given: The weights; none are right for any dataset.
        dataset: The dataset.
        otherwise: What none stand for.

    Raises:
        ConfigError: Their number is another than the dataset's behaviors, or all are 0.
    """
    names = dataset.behaviors.names
    if given and len(given) != len(names):
        raise ConfigError(
            f"model.{option}: {len(given)} values for {len(names)} behaviors "
            f"({', '.join(names)}); give one each, or none for {otherwise}"
        )
    if given and not sum(given):
        raise ConfigError(f"model.{option}: all are 0; at least one must be positive")


def shares(given: Sequence[float], n_behaviors: int) -> Float[Tensor, "B"]:
    """Divide weights by their sum; none given stands for equal ones."""
    weights = torch.tensor(tuple(given) or (1.0,) * n_behaviors, dtype=torch.float64)
    return (weights / weights.sum()).float()
