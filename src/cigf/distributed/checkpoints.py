"""Checkpoints of a run on several ranks: each writes and reads its part of every tensor.

The files and what they mean are in `training.shards`.
"""

import inspect
import json
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard

from cigf.distributed.exchange import Ranks
from cigf.distributed.model import RankModel
from cigf.distributed.partition import Rows
from cigf.errors import OutputError, RankLostError
from cigf.storage import write_json
from cigf.training.checkpoints import (
    FORMAT,
    Checkpoints,
    Progress,
    load_optimizer,
    optimizer_tensors,
)
from cigf.training.shards import (
    ShardFolder,
    explain_damage,
    first_reason,
    forget_shards,
    open_shards,
    pointer,
)

_OF_2_8 = "save_sharded" in inspect.signature(HuggingFaceStorageWriter).parameters
_EACH_ITS_PART: dict[str, Any] = {"save_sharded" if _OF_2_8 else "save_distributed": True}
"""How the writer is told that every rank writes; PyTorch 2.8 has a word of its own for it."""


class RankCheckpoints(Checkpoints):
    """The checkpoints of one run, of which every rank holds a part.

    Needs torch's default process group. All methods are called on all ranks.

    Args:
        folder: Where they are written: a folder that all ranks see.
        fingerprint: Identifies data and configuration; a checkpoint of another is refused.
        ranks: The ranks.
    """

    def __init__(self, folder: Path, fingerprint: str, ranks: Ranks) -> None:
        super().__init__(folder, fingerprint)
        self._ranks = ranks

    def save_last(
        self, progress: Progress, model: nn.Module, optimizer: torch.optim.Optimizer
    ) -> None:
        """Write the state to resume from."""
        assert isinstance(model, RankModel)
        self._save_shards(
            "last", progress, model, {**_weights(model), **optimizer_tensors(optimizer)}, optimizer
        )

    def save_best(self, progress: Progress, model: nn.Module) -> None:
        """Write the weights of the best epoch so far."""
        assert isinstance(model, RankModel)
        self._save_shards("best", progress, model, _weights(model), None)

    def resume(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> Progress | None:
        """Load the last state into model and optimizer; None where there is none yet."""
        assert isinstance(model, RankModel)
        if self._where("last") is None:
            return None
        progress, tensors = self._load_own("last", model, optimizer)
        _load_weights(model, tensors)
        load_optimizer(optimizer, tensors)
        return progress

    def restore_best(self, model: nn.Module) -> None:
        """Load the best epoch's weights into the model."""
        assert isinstance(model, RankModel)
        _, tensors = self._load_own("best", model, None)
        _load_weights(model, tensors)

    def _save_shards(
        self,
        name: str,
        progress: Progress,
        model: RankModel,
        tensors: dict[str, Tensor],
        optimizer: torch.optim.Optimizer | None,
    ) -> None:
        target = self._folder / f"{name}-{progress.epoch}-{progress.step}"
        if self._ranks.rank == 0:
            shutil.rmtree(target, ignore_errors=True)  # left behind by a run that was killed
            target.mkdir(parents=True)
        self._ranks.any(False)
        tables = _Tables(model, optimizer)
        state = {key: self._part(model, x, tables.rows(key, x.dim())) for key, x in tensors.items()}
        writer = HuggingFaceStorageWriter(str(target), **_EACH_ITS_PART)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "TypedStorage is deprecated")  # PyTorch 2.8's own
                with self._engine():
                    save(state, storage_writer=writer)
        except CheckpointException as error:  # on all ranks, whichever it was
            raise OutputError(
                f"{target}: the checkpoint cannot be written ({first_reason(error)}); the one "
                "before is kept. Make room, then go on with --resume"
            ) from None
        self._ranks.any(False)
        if self._ranks.rank == 0:
            about = {"format": str(FORMAT), "fingerprint": self._fingerprint}
            values = {**about, "progress": asdict(progress), "folder": target.name}
            values["tensors"] = {key: list(each.shape) for key, each in state.items()}
            write_json(pointer(self._folder, name), values)
            forget_shards(self._folder, name, keep=target.name)
            self._path(name).unlink(missing_ok=True)

    def _where(self, name: str) -> Path | ShardFolder | None:
        """Return what rank 0 finds: other machines may see a shared folder a little later.

        Ranks that disagreed would wait for each other without end.
        """
        found = super()._where(name) if self._ranks.rank == 0 else None
        metadata = found.metadata if isinstance(found, ShardFolder) else None
        said = self._ranks.everyone(json.dumps([found is not None, metadata]).encode())[0]
        there, metadata = json.loads(said)
        if metadata is not None:
            return ShardFolder(self._folder / metadata["folder"], metadata)
        return self._path(name) if there else None

    def _load_own(
        self, name: str, model: RankModel, optimizer: torch.optim.Optimizer | None
    ) -> tuple[Progress, dict[str, Tensor]]:
        """Load this rank's rows of every tensor."""
        tables = _Tables(model, optimizer)
        found = self._where(name)
        if not isinstance(found, ShardFolder):
            progress, tensors = self._load(name)
        else:
            self._check(found.path, found.metadata)
            progress, tensors = Progress(**found.progress), self._read(found, tables)
        return progress, {
            key: self._own_rows(x, tables.rows(key, x.dim())) for key, x in tensors.items()
        }

    def _read(self, found: ShardFolder, tables: "_Tables") -> dict[str, Tensor]:
        """Read even parts of tables, and all else whole."""
        with explain_damage(found.path), self._engine():
            reader, known = open_shards(found)
            state: dict[str, Tensor] = {}
            for key, each in known.items():
                shape, kind = each.size, each.properties.dtype
                if tables.rows(key, len(shape)) is None:
                    state[key] = torch.empty(shape, dtype=kind)
                else:
                    first, last = _bounds(shape[0], self._ranks)
                    part = torch.empty(last - first, *shape[1:], dtype=kind)
                    state[key] = self._sharded(part, shape)
            load(state, storage_reader=reader)
        return state

    def _part(self, model: RankModel, own: Tensor, rows: Rows | None) -> Tensor:
        """Cut this rank's part from a table in the nodes' own order."""
        if rows is None:
            return own.detach().cpu()
        whole = model.whole(own.detach(), rows).cpu()
        first, last = _bounds(len(whole), self._ranks)
        return self._sharded(whole[first:last].clone(), whole.shape)

    def _sharded(self, part: Tensor, shape: torch.Size) -> DTensor:
        stride = torch.empty(shape, device="meta").stride()
        return DTensor.from_local(
            part, self._mesh, [Shard(0)], run_check=False, shape=shape, stride=stride
        )

    def _own_rows(self, read: Tensor, rows: Rows | None) -> Tensor:
        """Take this rank's rows of a table: of a whole one, or exchanging even parts."""
        if rows is None:
            return read
        if not isinstance(read, DTensor):
            return rows.share(self._ranks.rank, read)
        local, n = read.to_local(), len(read)
        padded = local.new_zeros(-(-n // self._ranks.size), *local.shape[1:])
        padded[: len(local)] = local
        (table,) = self._ranks.gather(padded)
        return rows.share(self._ranks.rank, table[:n])

    @cached_property
    def _mesh(self) -> DeviceMesh:
        # Of the group that there is: where PyTorch sees a GPU, each other mesh makes a group of its
        # own, with threads and open files that stay.
        assert distributed.group.WORLD is not None
        return DeviceMesh.from_group(distributed.group.WORLD, "cpu")

    @contextmanager
    def _engine(self) -> Iterator[None]:
        """Let PyTorch's own exchange work; there too, the loss of a rank is told as such."""
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = (str(error).splitlines() or [""])[0]
            raise RankLostError(
                f"rank {self._ranks.rank} of {self._ranks.size} has lost another rank while they "
                f"shared a checkpoint ({reason})"
            ) from error
        except CheckpointException as error:
            for each, _ in error.failures.values():
                if isinstance(each, RankLostError | KeyboardInterrupt):
                    raise each from None
            raise


def _bounds(n: int, ranks: Ranks) -> tuple[int, int]:
    """Where a rank's even part of n rows begins and ends."""
    size = -(-n // ranks.size)
    return min(n, ranks.rank * size), min(n, (ranks.rank + 1) * size)


def _weights(model: RankModel) -> dict[str, Tensor]:
    return {f"model/{name}": x for name, x in model.inner.state_dict().items()}


def _load_weights(model: RankModel, tensors: dict[str, Tensor]) -> None:
    prefix = "model/"
    state = {k.removeprefix(prefix): x for k, x in tensors.items() if k.startswith(prefix)}
    model.inner.load_state_dict(state)


class _Tables:
    """Which tensors of a checkpoint have a row per node, and whose the rows are.

    Args:
        model: The model.
        optimizer: The optimizer, if its state is a part of the checkpoint.
    """

    def __init__(self, model: RankModel, optimizer: torch.optim.Optimizer | None) -> None:
        tables = model.tables()
        self._names = {f"model/{name}": rows for name, rows in tables.items()}
        of = {id(model.inner.get_parameter(name)): rows for name, rows in tables.items()}
        groups = optimizer.param_groups if optimizer else []
        parameters = [parameter for group in groups for parameter in group["params"]]
        self._numbers = {n: of[id(p)] for n, p in enumerate(parameters) if id(p) in of}

    def rows(self, key: str, n_axes: int) -> Rows | None:
        """Return whose the rows of a tensor are; None where all ranks have it alike."""
        if key.startswith("optimizer/"):
            return self._numbers.get(int(key.split("/")[1])) if n_axes else None
        return self._names.get(key)
