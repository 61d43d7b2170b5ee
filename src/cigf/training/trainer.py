"""The only training loop.

It knows the abstract `Recommender`; validation comes in as a function, and so does everything
that is shown or stored besides checkpoints.
"""

import math
import time
from collections.abc import Callable, Generator
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from cigf.compiled import threads_for_kernels
from cigf.errors import DivergedError
from cigf.graph.bipartite import BehaviorGraph
from cigf.models.base import Recommender
from cigf.sampling.prefetch import ahead
from cigf.seeding import derive_seed
from cigf.shapes import Batch
from cigf.training.batch_losses import batch_losses
from cigf.training.checkpoints import Checkpoints, Progress
from cigf.training.config import TrainingConfig
from cigf.training.events import EpochRecord, Listener
from cigf.training.memory import kept_memory
from cigf.training.optimizers import build_optimizer, learning_rate

Validate = Callable[[Recommender], dict[str, float]]
"""Metrics of the model on the validation pairs, by name."""


@runtime_checkable
class BatchSource(Protocol):
    """What the trainer asks of a sampler."""

    @property
    def n_steps(self) -> int:
        """Batches per epoch."""
        ...

    def epoch(self, epoch: int, first_step: int = 0) -> Generator[Batch, None, None]:
        """Batches of an epoch, from a step on; the same arguments give the same batches."""
        ...


@dataclass(frozen=True)
class TrainingResult:
    """How a run ended.

    Args:
        reason: In words.
        epochs: Finished epochs.
        selected_epoch: The epoch whose weights the model now has.
        train_seconds: Time in the loop, validation not included.
    """

    reason: str
    epochs: int
    selected_epoch: int
    train_seconds: float


class Trainer:
    """Trains one model on one graph.

    Args:
        config: The options.
        behaviors: Names, for the records.
        graph: Training edges on the model's device.
        source: Where batches come from.
        seed: Of what the model draws in training, such as dropout.
        validate: Called every `evaluate_every` epochs; None where nothing is held out.
        checkpoints: Where state is kept; None keeps none (and cannot restore the best epoch).
        listener: Hears of every step and epoch.
    """

    def __init__(
        self,
        config: TrainingConfig,
        behaviors: tuple[str, ...],
        graph: BehaviorGraph,
        source: BatchSource,
        *,
        seed: int = 0,
        validate: Validate | None = None,
        checkpoints: Checkpoints | None = None,
        listener: Listener | None = None,
    ) -> None:
        self._config = config
        self._behaviors = behaviors
        self._graph = graph.in_halves() if config.gathers == "float16" else graph
        self._source = source
        self._seed = seed
        self._validate = validate if config.evaluate_every else None
        self._checkpoints = checkpoints
        self._listener = listener or Listener()

    def fit(self, model: Recommender) -> TrainingResult:
        """Train, resuming from the last checkpoint if there is one.

        The model is left with the weights of the selected epoch.

        Raises:
            DivergedError: Loss or weights are no longer finite, or the loss exploded.
        """
        in_kernels = model.in_kernels and self._graph.device.type == "cpu"
        threads = threads_for_kernels() if in_kernels else nullcontext()
        with kept_memory(), threads, torch.random.fork_rng(_devices(self._graph.device)):
            return self._fit(model)

    def _fit(self, model: Recommender) -> TrainingResult:
        optimizer = build_optimizer(model, self._config)
        progress = self._checkpoints.resume(model, optimizer) if self._checkpoints else None
        progress = progress or Progress(loss_sums=[0.0] * len(self._behaviors))
        self._listener.on_start(self._config.epochs, self._source.n_steps, progress.epoch)
        while progress.epoch < self._config.epochs and not self._exhausted(progress):
            progress = self._run_epoch(model, optimizer, progress)
        reason = (
            f"no better {self._config.metric} in {progress.stale} validations"
            if self._exhausted(progress)
            else f"all {self._config.epochs} epochs done"
        )
        selected = self._select(model, progress)
        self._listener.on_end(reason)
        return TrainingResult(reason, progress.epoch, selected, progress.train_seconds)

    def _exhausted(self, progress: Progress) -> bool:
        return 0 < self._config.patience <= progress.stale

    def _select(self, model: Recommender, progress: Progress) -> int:
        wanted = self._config.restore == "best" and self._checkpoints is not None
        if not wanted or progress.best_epoch in (0, progress.epoch):
            return progress.epoch
        assert self._checkpoints is not None
        self._checkpoints.restore_best(model)
        return progress.best_epoch

    def _run_epoch(
        self, model: Recommender, optimizer: torch.optim.Optimizer, progress: Progress
    ) -> Progress:
        progress = self._run_steps(model, optimizer, progress)
        n_steps = self._source.n_steps
        losses = [total / n_steps for total in progress.loss_sums]
        first_loss = progress.first_loss
        self._refuse_divergence(model, progress, sum(losses), first_loss)
        record = EpochRecord(
            epoch=progress.epoch + 1,
            seconds=progress.seconds,
            losses=dict(zip(self._behaviors, losses, strict=True)),
            learning_rate=optimizer.param_groups[0]["lr"],
            pairs=progress.pairs,
        )
        progress = Progress(
            epoch=record.epoch,
            loss_sums=[0.0] * len(losses),
            first_loss=sum(losses) if first_loss is None else first_loss,
            best_epoch=progress.best_epoch,
            best_value=progress.best_value,
            stale=progress.stale,
            train_seconds=progress.train_seconds + progress.seconds,
        )
        if self._validate is not None and record.epoch % self._config.evaluate_every == 0:
            metrics = self._validate(model)
            progress = self._judge(model, progress, metrics[self._config.metric])
            record = replace(record, metrics=metrics, best=progress.stale == 0)
        if self._checkpoints:
            self._checkpoints.save_last(progress, model, optimizer)
        self._listener.on_epoch(record)
        return progress

    def _judge(self, model: Recommender, progress: Progress, value: float) -> Progress:
        if progress.best_value is not None and not value > progress.best_value:
            return replace(progress, stale=progress.stale + 1)
        progress = replace(progress, best_epoch=progress.epoch, best_value=value, stale=0)
        if self._checkpoints:
            self._checkpoints.save_best(progress, model)
        return progress

    def _run_steps(
        self, model: Recommender, optimizer: torch.optim.Optimizer, progress: Progress
    ) -> Progress:
        """Run the steps of the epoch under way that are not done yet."""
        model.train()
        total_steps = self._config.epochs * self._source.n_steps
        sums = torch.tensor(progress.loss_sums, dtype=torch.float64, device=self._graph.device)
        started = saved = time.perf_counter()
        before = progress
        source = self._source.epoch(progress.epoch, progress.step)
        with closing(ahead(source, self._graph.device)) as batches:
            for batch in batches:
                step = progress.epoch * self._source.n_steps + progress.step
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(self._config, step, total_steps)
                _seed_step(derive_seed(self._seed, "step", step), self._graph.device)
                sums += self._step(model, optimizer, batch)
                now = time.perf_counter()
                progress = replace(
                    progress,
                    step=progress.step + 1,
                    pairs=progress.pairs + batch.n_pairs,
                    seconds=before.seconds + now - started,
                )
                self._listener.on_step(progress.epoch + 1, progress.step, batch.n_pairs)
                if self._checkpoints and self._is_due(now - saved):
                    saved = now
                    self._save_inside(model, optimizer, replace(progress, loss_sums=sums.tolist()))
        return replace(progress, loss_sums=sums.tolist())

    def _step(self, model: Recommender, optimizer: torch.optim.Optimizer, batch: Batch) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        losses = batch_losses(model, self._graph, batch)
        losses.sum().backward()  # type: ignore[no-untyped-call]
        if self._config.gradient_clip:
            self._clip(model)
        optimizer.step()
        return losses.detach()

    def _clip(self, model: Recommender) -> None:
        torch.nn.utils.clip_grad_norm_(model.parameters(), self._config.gradient_clip)

    def _is_due(self, seconds: float) -> bool:
        """Whether a checkpoint inside an epoch is due so long after the last one."""
        return seconds > self._config.checkpoint_seconds > 0

    def _save_inside(
        self, model: Recommender, optimizer: torch.optim.Optimizer, progress: Progress
    ) -> None:
        assert self._checkpoints is not None
        self._refuse_divergence(model, progress, sum(progress.loss_sums), None)
        self._checkpoints.save_last(progress, model, optimizer)

    def _refuse_divergence(
        self, model: Recommender, progress: Progress, loss: float, first: float | None
    ) -> None:
        """Stop before a checkpoint is overwritten by numbers that are of no use."""
        advice = (
            f"in epoch {progress.epoch + 1}; the last good checkpoint is kept. "
            "Lower training.learning_rate (or model.score_scale), or set training.gradient_clip"
        )
        if not math.isfinite(loss):
            raise DivergedError(f"the loss became {loss} {advice}")
        broken = self._broken(model)
        if broken is not None:
            raise DivergedError(f"weights of {broken} are no longer finite {advice}")
        if first is not None and loss > self._config.divergence_factor * max(first, 1e-12):
            raise DivergedError(f"the loss grew from {first:.4g} to {loss:.4g} {advice}")

    def _broken(self, model: Recommender) -> str | None:
        """Name a weight that is no longer finite."""
        broken = (name for name, p in model.named_parameters() if not p.isfinite().all())
        return next(broken, None)


def _devices(device: torch.device) -> list[torch.device]:
    """The devices whose generators a step seeds, besides the CPU."""
    return [device] if device.type == "cuda" else []


def _seed_step(seed: int, device: torch.device) -> None:
    """Seed the generators that a step may draw from.

    As `torch.manual_seed` would, but that also keeps the call's stack for each kind of device that
    has not been used yet: a millisecond a step, on a processor on which a step takes 40.
    """
    torch.default_generator.manual_seed(seed)
    for each in _devices(device):
        with torch.cuda.device(each):
            torch.cuda.manual_seed(seed)
