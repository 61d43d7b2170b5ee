"""Options of the samplers."""

from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from cigf.config import Config

Unit = Literal["users", "interactions"]


class SamplingConfig(Config):
    """What an epoch and a step see; defaults are the published program's."""

    unit: Unit = "users"
    """What an epoch visits: users, each with some of her pairs, or every interaction once."""
    users_per_epoch: PositiveInt = 10_000
    """Users drawn without replacement per epoch (all, where there are fewer); by users only."""
    batch_size: PositiveInt = 256
    """Users, or (at most) target interactions, per optimizer step."""
    positives_per_user: NonNegativeInt = 40
    """Most positives drawn per user and behavior, with replacement; 0 takes each of her
    interactions once. By users only."""
    negatives_per_positive: NonNegativeInt = 1
    """Negatives drawn for each positive; 0 for losses that look at all pairs."""
