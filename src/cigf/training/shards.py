"""Checkpoints in several files: what the ranks of a run wrote, each its part of every table.

    <name>-shards.json      format, fingerprint, progress, the folder's name and tensors' shapes
    <name>-<epoch>-<step>/  safetensors files, written by torch.distributed.checkpoint

Tables are in the nodes' own order and cut evenly, whatever the ranks hold themselves: so any number
of ranks can read them, also one process. The small file is replaced last, which makes a checkpoint
count: a run killed at any moment leaves the one before it whole.
"""

import json
import math
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from cigf.errors import ArtifactError


@dataclass(frozen=True)
class ShardFolder:
    """A checkpoint in several files.

    Args:
        path: Their folder.
        metadata: What the small file says besides.
    """

    path: Path
    metadata: dict[str, Any]

    @property
    def progress(self) -> dict[str, Any]:
        """The counters of the run."""
        found: dict[str, Any] = self.metadata["progress"]
        return found


def pointer(folder: Path, name: str) -> Path:
    """Return the small file of a checkpoint."""
    return folder / f"{name}-shards.json"


def find_shards(folder: Path, name: str) -> ShardFolder | None:
    """Return a checkpoint in several files, if there is one.

    Raises:
        ArtifactError: Its small file is damaged.
    """
    path = pointer(folder, name)
    if not path.exists():
        return None
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
        return ShardFolder(folder / metadata["folder"], metadata)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path}: not a readable checkpoint ({error}); train again with --force"
        ) from None


def forget_shards(folder: Path, name: str, keep: str = "") -> None:
    """Remove the files of a checkpoint, but for the folder `keep` and the file that names it."""
    if not keep:
        pointer(folder, name).unlink(missing_ok=True)
    for each in folder.glob(f"{name}-*-*"):
        if each.is_dir() and each.name != keep:
            shutil.rmtree(each, ignore_errors=True)


def read_shards(found: ShardFolder) -> dict[str, Tensor]:
    """Read all tensors, whole.

    Raises:
        ArtifactError: A file is missing or damaged.
    """
    from torch.distributed.checkpoint.state_dict_loader import load

    with explain_damage(found.path):
        reader, known = open_shards(found)
        tensors = {
            name: torch.empty(each.size, dtype=each.properties.dtype)
            for name, each in known.items()
        }
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # on purpose
            load(tensors, storage_reader=reader, no_dist=True)
    return tensors


def open_shards(found: ShardFolder) -> tuple[Any, dict[str, Any]]:
    """Return the reader of a checkpoint, and the metadata (size, properties) of its tensors.

    Raises:
        ValueError: A part of a tensor is in no file, which reading would leave as it was in memory.
    """
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader

    reader = HuggingFaceStorageReader(str(found.path))
    known = dict(reader.read_metadata().state_dict_metadata)
    for name, shape in found.metadata.get("tensors", {}).items():
        chunks = getattr(known.get(name), "chunks", ())
        if sum(math.prod(chunk.sizes) for chunk in chunks) != math.prod(shape):
            raise ValueError(f"a file is missing: {name} is not whole")
    return reader, known


class explain_damage:  # used as a function
    """Turn whatever a damaged checkpoint leads to into one clear error.

    Args:
        path: The checkpoint.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None:
            return  # without the import below, which takes a second
        damaged = (SafetensorError, OSError, KeyError, ValueError)
        from torch.distributed.checkpoint.api import CheckpointException

        if isinstance(error, (*damaged, CheckpointException)):
            raise ArtifactError(
                f"{self._path}: not a readable checkpoint ({first_reason(error)}); "
                "train again with --force"
            ) from None


def first_reason(error: BaseException) -> str:
    """Return what went wrong, in one line; of a `CheckpointException`, what did on some rank."""
    failures = getattr(error, "failures", None)
    first = next(iter(failures.values()))[0] if failures else error
    return (str(first) or type(first).__name__).splitlines()[0]
