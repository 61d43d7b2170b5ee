"""The training loop on several ranks: what they must decide together."""

import math

import torch

from cigf.distributed.exchange import Ranks
from cigf.distributed.model import RankModel
from cigf.models.base import Recommender
from cigf.training.trainer import Trainer


class RankTrainer(Trainer):
    """Trains a `RankModel`; all ranks take the same steps, and end alike.

    Args:
        ranks: The ranks.
        arguments: As for `Trainer`.
        options: As for `Trainer`.
    """

    def __init__(self, ranks: Ranks, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]
        self._ranks = ranks

    def _clip(self, model: Recommender) -> None:
        """Clip by the norm of the whole gradient, of which tables hold a part on every rank."""
        assert isinstance(model, RankModel)
        tables = model.tables()
        own: list[torch.Tensor] = []
        alike: list[torch.Tensor] = []
        for name, parameter in model.inner.named_parameters():
            if parameter.grad is not None:
                (own if name in tables else alike).append(parameter.grad)
        squares = self._ranks.total(_squares(own)) + _squares(alike)
        factor = self._config.gradient_clip / (math.sqrt(float(squares)) + 1e-6)
        for gradient in (*own, *alike):
            gradient.mul_(min(1.0, factor))

    def _is_due(self, seconds: float) -> bool:
        """Clocks differ, so one decides."""
        return self._ranks.any(self._ranks.rank == 0 and super()._is_due(seconds))

    def _broken(self, model: Recommender) -> str | None:
        mine = super()._broken(model) or ""
        names = [each.decode() for each in self._ranks.everyone(mine.encode())]
        return next((name.removeprefix("inner.") for name in names if name), None)


def _squares(gradients: list[torch.Tensor]) -> torch.Tensor:
    if not gradients:
        return torch.zeros(())
    return torch.stack([each.square().sum() for each in gradients]).sum()
