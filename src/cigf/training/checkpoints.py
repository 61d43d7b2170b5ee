"""Checkpoints: everything that a bit-identical resume needs, in one file, without pickle.

A checkpoint is one safetensors file: the model's and the optimizer's tensors, and the counters as
JSON in the file's metadata; or, of a run on several ranks, a folder of such files (see `shards`),
which any number of ranks reads, and one process too. It is written under another name and renamed,
so that a run killed at any moment leaves the previous one whole. Random generators need no state of
their own: every draw is a function of the seed and the counters (see `cigf.seeding`).
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from cigf.errors import ArtifactError
from cigf.storage import new_file
from cigf.training.shards import (
    ShardFolder,
    explain_damage,
    find_shards,
    forget_shards,
    read_shards,
)

FORMAT = 1


@dataclass(frozen=True)
class Progress:
    """The counters of a run.

    Args:
        epoch: Finished epochs.
        step: Finished steps of the epoch under way.
        seconds: Training time of the epoch under way.
        loss_sums: Sum of each behavior's loss over those steps.
        pairs: Pairs of those steps.
        first_loss: Loss of the first epoch, against which divergence is judged.
        best_epoch: Epoch of the best validation so far (0: none).
        best_value: Its metric.
        stale: Validations since then.
        train_seconds: Training time of all finished epochs.
    """

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    loss_sums: list[float] = field(default_factory=list)
    pairs: int = 0
    first_loss: float | None = None
    best_epoch: int = 0
    best_value: float | None = None
    stale: int = 0
    train_seconds: float = 0.0


class Checkpoints:
    """The checkpoint files of one run: `last` to resume from, `best` to restore.

    Args:
        folder: Where they are written.
        fingerprint: Identifies data and configuration; a checkpoint of another is refused.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self._folder = folder
        self._fingerprint = fingerprint

    def save_last(
        self, progress: Progress, model: nn.Module, optimizer: torch.optim.Optimizer
    ) -> None:
        """Write the state to resume from."""
        tensors = {f"model/{name}": value for name, value in model.state_dict().items()}
        tensors |= optimizer_tensors(optimizer)
        self._save("last", progress, tensors)

    def save_best(self, progress: Progress, model: nn.Module) -> None:
        """Write the weights of the best epoch so far."""
        tensors = {f"model/{name}": value for name, value in model.state_dict().items()}
        self._save("best", progress, tensors)

    def resume(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> Progress | None:
        """Load the last state into model and optimizer; None where there is none yet.

        Raises:
            ArtifactError: The file is damaged or of other data or configuration.
        """
        if self._where("last") is None:
            return None
        progress, tensors = self._load("last")
        _load_model(model, tensors)
        load_optimizer(optimizer, tensors)
        return progress

    def restore_best(self, model: nn.Module) -> None:
        """Load the best epoch's weights into the model."""
        _, tensors = self._load("best")
        _load_model(model, tensors)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.safetensors"

    def _save(self, name: str, progress: Progress, tensors: dict[str, Tensor]) -> None:
        metadata = {
            "format": str(FORMAT),
            "fingerprint": self._fingerprint,
            "progress": json.dumps(asdict(progress)),
        }
        plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
        with new_file(self._path(name)) as path:
            save_file(plain, path, metadata)
        forget_shards(self._folder, name)

    def _where(self, name: str) -> Path | ShardFolder | None:
        """Return where a checkpoint is; of two, which a kill may leave, the later one."""
        path, shards = self._path(name), find_shards(self._folder, name)
        if shards is None or not path.exists():
            return shards or (path if path.exists() else None)
        with explain_damage(path), safe_open(path, framework="pt") as file:
            single = json.loads((file.metadata() or {})["progress"])
        later = _place(shards.progress) > _place(single)
        return shards if later else path

    def _load(self, name: str) -> tuple[Progress, dict[str, Tensor]]:
        found = self._where(name)
        if isinstance(found, ShardFolder):
            self._check(found.path, found.metadata)
            return Progress(**found.progress), read_shards(found)
        path = self._path(name)
        with explain_damage(path), safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        self._check(path, metadata)
        return Progress(**json.loads(metadata["progress"])), tensors

    def _check(self, path: Path, metadata: Mapping[str, Any]) -> None:
        if metadata.get("format") != str(FORMAT):
            raise ArtifactError(
                f"{path}: checkpoint format {metadata.get('format')}, this version reads {FORMAT}"
            )
        if metadata.get("fingerprint") != self._fingerprint:
            raise ArtifactError(
                f"{path}: this checkpoint is of other data or another configuration; "
                "resume with those it was made with, or train again with --force"
            )


def _place(progress: Mapping[str, Any]) -> tuple[int, int]:
    """How far a run was."""
    return progress["epoch"], progress["step"]


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's state as optimizer/<number of the parameter>/<name>."""
    state: dict[int, dict[str, Any]] = optimizer.state_dict()["state"]
    return {
        f"optimizer/{index}/{name}": torch.as_tensor(value)
        for index, values in state.items()
        for name, value in values.items()
        if value is not None  # sgd without momentum keeps an empty place
    }


def _load_model(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    prefix = "model/"
    model.load_state_dict(
        {key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)}
    )


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Load what `optimizer_tensors` returned; other tensors are passed over."""
    described = optimizer.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer/"):
            _, index, name = key.split("/")
            state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({**described, "state": state})
