"""The sampler that a configuration asks for."""

from collections.abc import Sequence

import torch

from cigf.data.dataset import Matrix
from cigf.sampling.config import SamplingConfig, Unit
from cigf.sampling.interactions import InteractionSampler
from cigf.sampling.users import UserSampler
from cigf.shapes import Learns

Sampler = UserSampler | InteractionSampler

_SAMPLERS: dict[Unit, type[UserSampler] | type[InteractionSampler]] = {
    "users": UserSampler,
    "interactions": InteractionSampler,
}


def build_sampler(
    interactions: Sequence[Matrix],
    config: SamplingConfig,
    seed: int,
    device: torch.device | str = "cpu",
    learns: Learns = "behaviors",
) -> Sampler:
    """Build a sampler.

    Args:
        interactions: Training pairs, one matrix per behavior.
        config: What an epoch and a step see.
        seed: The run's seed.
        device: Where the batches go.
        learns: Whose labels are wanted.
    """
    return _SAMPLERS[config.unit](interactions, config, seed, device, learns)
