"""Options of the pair sampler."""

from pydantic import PositiveInt

from cigf.config import Config


class SamplingConfig(Config):
    """How many users and pairs an epoch and a step see; defaults are the published program's."""

    users_per_epoch: PositiveInt = 10_000
    """Users drawn without replacement per epoch (all, where there are fewer)."""
    batch_size: PositiveInt = 256
    """Users per optimizer step."""
    positives_per_user: PositiveInt = 40
    """Most positives drawn per user and behavior, with replacement; one negative each."""
