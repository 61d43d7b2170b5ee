"""The sampler that a configuration asks for."""

from collections.abc import Sequence

import torch

from cigf.data.dataset import Matrix
from cigf.errors import ConfigError
from cigf.sampling.config import SamplingConfig, Unit
from cigf.sampling.interactions import InteractionSampler
from cigf.sampling.on_device import DeviceUserSampler
from cigf.sampling.subgraph_batches import SubgraphSampler
from cigf.sampling.users import UserSampler
from cigf.shapes import Learns

Sampler = UserSampler | InteractionSampler | SubgraphSampler

_SAMPLERS: dict[Unit, type[UserSampler] | type[InteractionSampler]] = {
    "users": UserSampler,
    "interactions": InteractionSampler,
}


def check_sampling(config: SamplingConfig) -> None:
    """Refuse options that do not go together.

    Raises:
        ConfigError: Sub-graphs are asked for, but not batches of users.
    """
    if config.subgraph != "none" and config.unit != "users":
        raise ConfigError(
            f"sampling.subgraph: {config.subgraph!r} grows around users, but sampling.unit is "
            f"{config.unit!r}; set it to 'users', or sampling.subgraph to 'none'"
        )


def build_sampler(
    interactions: Sequence[Matrix],
    config: SamplingConfig,
    seed: int,
    device: torch.device | str = "cpu",
    learns: Learns = "behaviors",
    *,
    on_device: bool = True,
) -> Sampler:
    """Build a sampler.

    Args:
        interactions: Training pairs, one matrix per behavior.
        config: What an epoch and a step see.
        seed: The run's seed.
        device: Where the batches go.
        learns: Whose labels are wanted.
        on_device: Whether a GPU may hold all training pairs and draw from them itself.

    Raises:
        ConfigError: As `check_sampling`.
    """
    check_sampling(config)
    if config.subgraph != "none":
        return SubgraphSampler(interactions, config, seed, device, learns)
    if on_device and torch.device(device).type == "cuda" and _can_draw_there(config, learns):
        return DeviceUserSampler(interactions, config, seed, device, learns)
    return _SAMPLERS[config.unit](interactions, config, seed, device, learns)


def _can_draw_there(config: SamplingConfig, learns: Learns) -> bool:
    """Whether a GPU can draw such pairs."""
    return config.unit == "users" and learns != "union"
