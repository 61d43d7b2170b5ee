"""The manifest of an artifact: what the folder holds, checked before anything is built."""

import json
from collections.abc import Container, Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cigf.config import Config
from cigf.errors import ArtifactError, ConfigError

FORMAT = "cigf-artifact"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"


class FileEntry(Config):
    """One file of the artifact."""

    size: int
    """Bytes."""
    sha256: str
    """Hash of the content."""


class ArrayEntry(Config):
    """One array of the artifact."""

    dtype: str
    """NumPy name of the element type."""
    shape: tuple[int, ...]
    """Length of each axis."""


class FactorsEntry(Config):
    """Where the factors of one behavior's scores are: arrays by their names in `arrays`."""

    users: str
    """x, shape (U, E, D)."""
    items: str
    """y, shape (I, E, D)."""
    user_gates: str | None = None
    """Logits p, shape (U, E)."""
    item_gates: str | None = None
    """Logits q, shape (I, E)."""
    item_bias: str | None = None
    """Added to each item's scores, shape (I,)."""
    scale: float = 1.0
    """Factor of every score."""


class Manifest(Config):
    """Everything an artifact says about itself."""

    format: str = FORMAT
    """What kind of folder this is."""
    format_version: int = FORMAT_VERSION
    """Raised when older programs could not read the folder."""
    model: str
    """Name of the model in the registry."""
    config: dict[str, Any]
    """Its resolved hyperparameters."""
    behaviors: tuple[str, ...]
    """Behavior names in funnel order, the target last."""
    n_users: int
    """U."""
    n_items: int
    """I."""
    dataset: str
    """Fingerprint of the history that the artifact carries."""
    versions: dict[str, str]
    """Packages that wrote the artifact."""
    metadata: dict[str, Any]
    """What the writer wanted to remember: seed, epoch, metrics."""
    arrays: dict[str, ArrayEntry]
    """Every array by its name."""
    factors: dict[str, FactorsEntry] = Field(default_factory=dict)
    """Of each behavior whose scores are factors: where these are; nothing in older artifacts."""
    files: dict[str, FileEntry]
    """Every file but the manifest by its name in the folder."""

    @property
    def version(self) -> str:
        """A short name of exactly these parameters: a part of their file's hash."""
        return self.files["model.safetensors"].sha256[:12]


def describe_array(array: NDArray[Any]) -> ArrayEntry:
    """Return the manifest's entry of an array."""
    return ArrayEntry(dtype=array.dtype.name, shape=array.shape)


def describe_files(folder: Path) -> dict[str, FileEntry]:
    """Return the manifest's entries of all files below a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): FileEntry(
            size=path.stat().st_size, sha256=hash_file(path)
        )
        for path in paths
    }


def hash_file(path: Path) -> str:
    """Return the sha256 of a file."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest; equal manifests give equal bytes."""
    text = json.dumps(manifest.model_dump(mode="json"), indent=2, sort_keys=True)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Read and check the manifest of an artifact.

    Raises:
        ArtifactError: There is none, it is damaged, or a newer version of cigf wrote it.
    """
    path = folder / MANIFEST
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ArtifactError(f"{folder}: not an artifact: there is no {MANIFEST} in it") from None
    except ValueError as error:
        raise ArtifactError(f"{path}: truncated or damaged: {error}; write it again") from None
    _check_format(path, values)
    try:
        return Manifest.parse(values)
    except ConfigError as error:
        raise ArtifactError(f"{path}: damaged: {error}; write the artifact again") from None


def _check_format(path: Path, values: Any) -> None:
    if not isinstance(values, Mapping) or values.get("format") != FORMAT:
        raise ArtifactError(f"{path}: not the manifest of an artifact (format is not {FORMAT!r})")
    version = values.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise ArtifactError(
            f"{path}: format version {version!r} is newer than this cigf can read "
            f"({FORMAT_VERSION}); update cigf"
        )


def check_files(folder: Path, manifest: Manifest, unread: Container[str] = ()) -> None:
    """Compare every file with the manifest.

    Args:
        folder: The artifact.
        manifest: What it should hold.
        unread: Files whose content need not be compared, because it will not be read.

    Raises:
        ArtifactError: A file is missing, truncated or altered; names the file.
    """
    for name, entry in manifest.files.items():
        path = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ArtifactError(f"{folder / MANIFEST}: file name {name!r} leaves the folder")
        if not path.is_file():
            raise ArtifactError(f"{path}: missing; the artifact is not complete")
        size = path.stat().st_size
        if size != entry.size:
            raise ArtifactError(
                f"{path}: truncated or altered: {size} bytes, the manifest says {entry.size}"
            )
        if name not in unread and hash_file(path) != entry.sha256:
            raise ArtifactError(f"{path}: altered: its sha256 is not the manifest's")


def check_names(path: Path, names: Iterable[str], manifest: Manifest) -> None:
    """Check that a file with several arrays holds all that the manifest says it does.

    Raises:
        ArtifactError: One is missing; names it.
    """
    expected = {name for name in manifest.arrays if name.startswith(f"{path.name}:")}
    for name in sorted(expected - {f"{path.name}:{name}" for name in names}):
        raise ArtifactError(f"{path}: array {name} is in the manifest but not in the file")


def check_array(where: Path, name: str, array: NDArray[Any], manifest: Manifest) -> None:
    """Compare an array with its manifest entry.

    Raises:
        ArtifactError: They differ; names the file, the array and both shapes.
    """
    entry = manifest.arrays.get(name)
    found = describe_array(array)
    if entry is None:
        raise ArtifactError(f"{where}: array {name} is not in the manifest")
    if found != entry:
        raise ArtifactError(
            f"{where}: array {name} is {found.dtype} {found.shape}, "
            f"the manifest says {entry.dtype} {entry.shape}"
        )


def check_csr(
    where: Path, indptr: NDArray[Any], indices: NDArray[Any], shape: tuple[int, int]
) -> None:
    """Check that indptr and indices describe a matrix of some shape.

    Raises:
        ArtifactError: They do not.
    """
    if not _is_csr(indptr, indices, shape):
        raise ArtifactError(f"{where}: indptr and indices do not describe a {shape} matrix")


def _is_csr(indptr: NDArray[Any], indices: NDArray[Any], shape: tuple[int, int]) -> bool:
    if indptr.dtype != np.int64 or indices.dtype != np.int32:
        return False
    if indptr.shape != (shape[0] + 1,) or indptr[0] != 0 or indptr[-1] != len(indices):
        return False
    if (indptr[1:] < indptr[:-1]).any():  # differences could overflow
        return False
    return not len(indices) or bool(0 <= indices.min() <= indices.max() < shape[1])
