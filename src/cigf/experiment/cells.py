"""Cell: one run of a grid of runs, a model with its options and one seed, in a folder of its own.

config.toml     what is to be trained
run/            the run's folder, as `cigf train` writes it
progress.json   how far it is
ranks.parquet   the rank of every test pair
outcome.json    how it ended; the last file that is written
log.txt         what its process printed

A cell that was killed at any moment is run again: it resumes from its last checkpoint.
"""

import json
import shutil
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from cigf.data.dataset_store import load_split
from cigf.data.environment import environment
from cigf.data.splitting import Split
from cigf.errors import ArtifactError, CigfError
from cigf.evaluation.evaluator import evaluation_task
from cigf.evaluation.over_seeds import save_counts
from cigf.experiment.config import ExperimentConfig, load_experiment
from cigf.experiment.devices import choose_device
from cigf.experiment.folder import RunFolder
from cigf.experiment.peak_memory import peak_megabytes
from cigf.experiment.training import train_run
from cigf.inference.artifact import load_artifact
from cigf.ranking import rank_counts
from cigf.storage import new_file, write_json
from cigf.training.events import EpochRecord, Listener

SHOWN = (("full", "hr@10"), ("full", "ndcg@10"), ("1+99", "hr@10"), ("1+99", "ndcg@10"))
"""Test figures that stand in an outcome, for people; reports measure the ranks anew."""


@dataclass(frozen=True)
class Progress:
    """How far a cell is.

    Args:
        epoch: Finished epochs.
        n_epochs: Most epochs.
        seconds: Wall time of all its processes up to that epoch.
        peak_mb: Largest peak memory of these.
        best: Best value of the selecting metric so far.
    """

    epoch: int = 0
    n_epochs: int = 0
    seconds: float = 0.0
    peak_mb: float = 0.0
    best: float | None = None


@dataclass(frozen=True)
class Outcome:
    """How a cell ended.

    Args:
        status: "failed" has an error, "finished" the rest.
        error: What went wrong, in one line.
        seconds: Wall time of all its processes: start, training, validation, ranking.
        peak_mb: Largest resident memory of one of them, in megabytes; None where unknown.
        training: What run.json says of the training: reason, epochs, selected_epoch,
            train_seconds, valid, threads, versions.
        figures: Some test figures.
        machine: Python, platform, cores, device.
    """

    status: Literal["finished", "failed"]
    error: str = ""
    seconds: float = 0.0
    peak_mb: float | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)


class CellFolder:
    """Names and small files of a cell.

    Args:
        path: The cell's folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.toml"
        self.run = path / "run"
        self.ranks = path / "ranks.parquet"
        self.log = path / "log.txt"
        self._progress = path / "progress.json"
        self._outcome = path / "outcome.json"

    def check(self, config: ExperimentConfig) -> None:
        """Refuse a folder that is of another configuration.

        Raises:
            ArtifactError: It is.
        """
        if self.config.exists() and load_experiment(self.config) != config:
            raise ArtifactError(
                f"{self.path} holds a run with other options (its config.toml); choose another "
                "--out, give the options it was made with, or remove that folder"
            )

    def begin(self, config: ExperimentConfig) -> None:
        """Create the folder, where it is not there."""
        with new_file(self.config) as temporary:
            temporary.write_text(config.to_toml(), encoding="utf-8")

    def outcome(self) -> Outcome | None:
        """Return how the cell ended; None where it did not yet."""
        values = _read(self._outcome)
        return None if values is None else Outcome(**values)

    def end(self, outcome: Outcome) -> None:
        """Say how the cell ended."""
        write_json(self._outcome, asdict(outcome))

    def reopen(self) -> None:
        """Forget how the cell ended, because it is run again."""
        self._outcome.unlink(missing_ok=True)

    def is_finished(self) -> bool:
        """Tell whether nothing is left to do."""
        outcome = self.outcome()
        return outcome is not None and outcome.status == "finished" and self.ranks.exists()

    def progress(self) -> Progress:
        """Return how far the cell is."""
        values = _read(self._progress)
        return Progress() if values is None else Progress(**values)

    def write_progress(self, progress: Progress) -> None:
        """Say how far the cell is."""
        write_json(self._progress, asdict(progress))

    def failure(self, code: int) -> str:
        """Return in a line why a process ended with a code without saying so itself."""
        if code < 0:
            reason = f"killed by signal {-code}"
            return f"{reason}, perhaps for want of memory" if code == -9 else reason
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return next((line for line in reversed(lines) if line.strip()), f"exit code {code}")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return values


class _Reporter(Listener):
    """Writes progress.json after every epoch, on top of what earlier processes needed."""

    def __init__(self, folder: CellFolder, metric: str) -> None:
        self._folder = folder
        self._metric = metric
        self._before = folder.progress()
        self._began = time.perf_counter()
        self._n_epochs, self._best = 0, self._before.best

    def so_far(self, epoch: int) -> Progress:
        """Return the state after an epoch, now."""
        seconds = self._before.seconds + time.perf_counter() - self._began
        peak = max(self._before.peak_mb, peak_megabytes() or 0.0)
        return Progress(epoch, self._n_epochs, seconds, peak, self._best)

    def on_start(self, n_epochs: int, n_steps: int, epoch: int) -> None:
        self._n_epochs = n_epochs
        self._folder.write_progress(self.so_far(epoch))

    def on_epoch(self, record: EpochRecord) -> None:
        if record.metrics is not None and record.best:
            self._best = record.metrics.get(self._metric)
        self._folder.write_progress(self.so_far(record.epoch))


def run_cell(dataset: Path, folder: CellFolder, device: str = "auto") -> Outcome:
    """Train and rank what a cell asks for, or the rest of it; write how it ended.

    Whatever goes wrong in it is the outcome of this cell, and of no other.
    """
    folder.path.mkdir(parents=True, exist_ok=True)
    try:
        outcome = _run(dataset, folder, device)
    except CigfError as error:
        outcome = Outcome("failed", str(error))
    except Exception as error:
        traceback.print_exc()
        outcome = Outcome("failed", f"{type(error).__name__}: {error}".splitlines()[0])
    folder.end(outcome)
    return outcome


def _run(dataset: Path, folder: CellFolder, device: str) -> Outcome:
    config = load_experiment(folder.config)
    run = RunFolder(folder.run)
    reporter = _Reporter(folder, config.training.metric)
    if not (run.artifact.exists() and run.read_info().get("status") == "finished"):
        resume = (run.path / "run.json").exists()
        train_run(
            dataset,
            run.path,
            config,
            device=device,
            resume=resume,
            force=not resume,
            listener=reporter,
        )
    chosen = choose_device(device)
    figures = _rank(folder, load_split(dataset), chosen)
    info = run.read_info()
    progress = reporter.so_far(info["epochs"])
    folder.write_progress(progress)
    # What is only there to go on with; it is larger than all the rest.
    shutil.rmtree(run.checkpoints, ignore_errors=True)
    facts = environment(folder.path)
    return Outcome(
        status="finished",
        seconds=progress.seconds,
        peak_mb=progress.peak_mb or None,
        training={name: value for name, value in info.items() if name not in ("dataset", "status")},
        figures=figures,
        machine={
            "python": facts.python,
            "platform": facts.platform,
            "n_cores": facts.n_cores,
            "device": str(chosen),
        },
    )


def _rank(folder: CellFolder, split: Split, device: torch.device) -> dict[str, float]:
    """Rank the test pairs, store the ranks, and return a few figures."""
    task = evaluation_task(split)
    counts = rank_counts(load_artifact(folder.run).scorer(device=device), task.task)
    save_counts(counts, folder.ranks)
    evaluation = task.run(lambda _: counts)
    means = evaluation.means()
    return {f"{metric}/{protocol}": means[protocol]["all"][metric] for protocol, metric in SHOWN}
