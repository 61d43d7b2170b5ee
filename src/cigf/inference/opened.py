"""OpenArtifact: what serving reads of an artifact, memory-mapped, without torch.

Axes: U users, I items, E experts, D embedding size.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cigf.data.dataset import Dataset
from cigf.errors import ArtifactError
from cigf.inference.folders import FACTORS, MEMORY, MODEL, REPRESENTATIONS, find_artifact
from cigf.inference.history_files import load_history
from cigf.inference.manifest import Manifest, check_array, check_files, check_names, read_manifest

Floats = NDArray[np.float32]

_DTYPES = {
    "F32": np.float32,
    "F64": np.float64,
    "F16": np.float16,
    "I64": np.int64,
    "I32": np.int32,
}
"""Names that safetensors has for the types of factors, and of what is kept beside vectors."""

_LONGEST_HEADER = 1 << 20


@dataclass(frozen=True, eq=False)
class Factors:
    """What one behavior's scores are made of; `ScoreFactors` in NumPy.

    Args:
        users: x, shape (U, E, D).
        items: y, shape (I, E, D).
        user_gates: Logits p, shape (U, E), or None.
        item_gates: Logits q, shape (I, E), or None.
        item_bias: Added to each item's scores, shape (I,), or None.
        scale: Factor of every score.
    """

    users: Floats
    items: Floats
    user_gates: Floats | None
    item_gates: Floats | None
    item_bias: Floats | None
    scale: float


@dataclass(frozen=True, eq=False)
class OpenArtifact:
    """An artifact as far as it can be served from NumPy.

    Args:
        path: The folder.
        manifest: What the folder says about itself.
        history: What is known about the users.
        arrays: Representations and factors, by their names in the manifest.
    """

    path: Path
    manifest: Manifest
    history: Dataset
    arrays: Mapping[str, NDArray[Any]]

    @cached_property
    def can_fold_in(self) -> bool:
        """Whether the model kept what it needs to represent users by their events."""
        return MEMORY in self.manifest.files

    @property
    def items(self) -> Floats:
        """The items' representations, shape (I, B, D)."""
        return self.arrays[f"{REPRESENTATIONS}:items"]

    def factors(self, behavior: str) -> Factors | None:
        """Return the factors of a behavior's scores; None where they are not written down."""
        entry = self.manifest.factors.get(behavior)
        if entry is None:
            return None
        parts = entry.model_dump()
        scale = parts.pop("scale")
        try:
            found = {part: name and self.arrays[name] for part, name in parts.items()}
        except KeyError as error:
            raise ArtifactError(f"{self.path}: there is no array {error} of its factors") from None
        return Factors(**found, scale=scale)


def open_artifact(path: Path) -> OpenArtifact:
    """Open an artifact, or the artifact of a run folder; what is read is checked first.

    Raises:
        ArtifactError: As `load_artifact`.
    """
    folder = find_artifact(path)
    manifest = read_manifest(folder)
    # Only torch reads these; they are compared when it does.
    unread = (MODEL, MEMORY, *(name for name in manifest.files if name.startswith("withheld/")))
    check_files(folder, manifest, unread)
    arrays: dict[str, NDArray[Any]] = {}
    for file in (REPRESENTATIONS, FACTORS):
        if file in manifest.files:
            arrays |= map_tensors(folder / file, manifest)
    return OpenArtifact(folder, manifest, load_history(folder, manifest), arrays)


def map_tensors(path: Path, manifest: Manifest) -> dict[str, NDArray[Any]]:
    """Map a safetensors file into memory, and compare each array with the manifest.

    Returns:
        Read-only arrays by "file:name".

    Raises:
        ArtifactError: The file is no safetensors file, or an array is missing, new or different.
    """
    try:
        content: NDArray[np.uint8] = np.memmap(path, dtype=np.uint8, mode="r")
        arrays = _views(content)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ArtifactError(f"{path}: not a safetensors file: {error}") from None
    check_names(path, arrays, manifest)
    for name, array in arrays.items():
        check_array(path, f"{path.name}:{name}", array, manifest)
    return {f"{path.name}:{name}": array for name, array in arrays.items()}


def _views(content: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file: 8 bytes with the header's length, the header as JSON, data."""
    length = int.from_bytes(content[:8].tobytes(), "little")
    if length > min(_LONGEST_HEADER, len(content) - 8):
        raise ValueError(f"its header would have {length} bytes")
    header = json.loads(content[8 : 8 + length].tobytes())
    header.pop("__metadata__", None)
    data = np.asarray(content[8 + length :])
    return {
        name: data[slice(*entry["data_offsets"])]
        .view(_DTYPES[entry["dtype"]])
        .reshape(entry["shape"])
        for name, entry in header.items()
    }
