"""Ids and histories of an artifact on disk, each checked when read; no torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cigf.data.behaviors import Behaviors
from cigf.data.dataset import Dataset, Matrix, matrix_from_keys, matrix_from_parts
from cigf.data.ids import IdMap
from cigf.errors import ArtifactError
from cigf.inference.manifest import (
    ArrayEntry,
    Manifest,
    check_array,
    check_csr,
    describe_array,
)


def save_history(folder: Path, history: Dataset) -> dict[str, ArrayEntry]:
    """Write ids and matrices; return the matrices' manifest entries."""
    for ids in (history.users, history.items):
        ids.save(folder / f"{ids.entity}s.arrow", "id")
    return _save_matrices(folder, "seen", dict(enumerate(history.interactions)))


def save_withheld(folder: Path, withheld: Sequence[Matrix]) -> dict[str, ArrayEntry]:
    """Write the matrices that hold pairs; return their manifest entries."""
    some = {behavior: matrix for behavior, matrix in enumerate(withheld) if matrix.nnz}
    return _save_matrices(folder, "withheld", some)


def _save_matrices(
    folder: Path, kind: str, matrices: Mapping[int, Matrix]
) -> dict[str, ArrayEntry]:
    arrays = {}
    for behavior, matrix in matrices.items():
        (folder / kind).mkdir(exist_ok=True)
        for part, dtype in (("indptr", np.int64), ("indices", np.int32)):
            values = np.ascontiguousarray(getattr(matrix, part), dtype=dtype)
            np.save(folder / _name(kind, behavior, part), values, allow_pickle=False)
            arrays[_name(kind, behavior, part)] = describe_array(values)
    return arrays


def load_history(folder: Path, manifest: Manifest) -> Dataset:
    """Read ids and matrices.

    Raises:
        ArtifactError: They do not fit the manifest or each other.
    """
    users = _load_ids(folder, "user", manifest.n_users)
    items = _load_ids(folder, "item", manifest.n_items)
    matrices = tuple(
        _load_matrix(folder, "seen", b, manifest) for b in range(len(manifest.behaviors))
    )
    none = (None,) * len(matrices)
    return Dataset(Behaviors(manifest.behaviors), users, items, matrices, none)


def load_withheld(folder: Path, manifest: Manifest) -> tuple[Matrix, ...]:
    """Read the withheld pairs, one matrix per behavior; one that was not written is empty.

    Raises:
        ArtifactError: They do not fit the manifest.
    """
    empty = np.empty(0, dtype=np.int64)
    shape = (manifest.n_users, manifest.n_items)
    return tuple(
        _load_matrix(folder, "withheld", behavior, manifest)
        if _name("withheld", behavior, "indptr") in manifest.arrays
        else matrix_from_keys(empty, shape)
        for behavior in range(len(manifest.behaviors))
    )


def _name(kind: str, behavior: int, part: str) -> str:
    # Numbered, because a behavior's name need not be a file name.
    return f"{kind}/{behavior}.{part}.npy"


def _load_ids(folder: Path, entity: str, n: int) -> IdMap:
    path = folder / f"{entity}s.arrow"
    try:
        ids = pl.scan_ipc(path, glob=False).collect()["id"]
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ArtifactError(f"{path}: not a table of ids: {error}") from None
    if len(ids) != n:
        raise ArtifactError(f"{path}: {len(ids)} {entity} ids, the manifest says {n}")
    return IdMap(ids, entity)


def _load_matrix(folder: Path, kind: str, behavior: int, manifest: Manifest) -> Matrix:
    name = _name(kind, behavior, "indptr")
    indptr = _load_array(folder, name, manifest)
    indices = _load_array(folder, _name(kind, behavior, "indices"), manifest)
    shape = (manifest.n_users, manifest.n_items)
    check_csr(folder / name, indptr, indices, shape)
    return matrix_from_parts(indptr, indices, shape)


def _load_array(folder: Path, name: str, manifest: Manifest) -> NDArray[Any]:
    path = folder / name
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ArtifactError(f"{path}: not a NumPy array: {error}") from None
    check_array(path, name, array, manifest)
    return array
