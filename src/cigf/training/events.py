"""What a training run reports while it goes, and to whom."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class EpochRecord:
    """One line of metrics.jsonl.

    Args:
        epoch: Number of the epoch, from 1.
        seconds: Training time of the epoch, validation not included.
        losses: Mean loss per step of each behavior, without the L2 term.
        learning_rate: That of the epoch's last step.
        pairs: (positive, negative) pairs that the epoch learned from.
        metrics: Validation metrics, where the epoch was validated.
        best: Whether the selecting metric is the best so far.
    """

    epoch: int
    seconds: float
    losses: dict[str, float]
    learning_rate: float
    pairs: int
    metrics: dict[str, float] | None = None
    best: bool = False

    @property
    def loss(self) -> float:
        """Sum over the behaviors."""
        return sum(self.losses.values(), 0.0)

    def to_json(self) -> dict[str, Any]:
        """Plain values for metrics.jsonl."""
        return {**asdict(self), "loss": self.loss}


class Listener:
    """Hears about a run; every method does nothing unless a subclass says otherwise."""

    def on_start(self, n_epochs: int, n_steps: int, epoch: int) -> None:
        """Training begins (or resumes) after `epoch` finished epochs of `n_steps` steps each."""

    def on_step(self, epoch: int, step: int, n_pairs: int) -> None:
        """A step ended: the `step`-th (from 1) of epoch `epoch` (from 1)."""

    def on_epoch(self, record: EpochRecord) -> None:
        """An epoch ended and was validated where due."""

    def on_end(self, reason: str) -> None:
        """Training ended: all epochs done, no better metric, ..."""


class Listeners(Listener):
    """Passes everything on to several listeners, in their order."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    def on_start(self, n_epochs: int, n_steps: int, epoch: int) -> None:
        """Pass on."""
        for listener in self._listeners:
            listener.on_start(n_epochs, n_steps, epoch)

    def on_step(self, epoch: int, step: int, n_pairs: int) -> None:
        """Pass on."""
        for listener in self._listeners:
            listener.on_step(epoch, step, n_pairs)

    def on_epoch(self, record: EpochRecord) -> None:
        """Pass on."""
        for listener in self._listeners:
            listener.on_epoch(record)

    def on_end(self, reason: str) -> None:
        """Pass on."""
        for listener in self._listeners:
            listener.on_end(reason)
