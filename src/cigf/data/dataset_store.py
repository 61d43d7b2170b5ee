"""The dataset folder: manifest.json, ids as Arrow files, matrices as memory-mapped .npy files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cigf.data.behaviors import Behaviors
from cigf.data.dataset import Dataset, Matrix, Times, matrix_from_parts
from cigf.data.ids import IdMap
from cigf.data.splitting import Candidates, HeldOut, Part, Split
from cigf.errors import DataError
from cigf.storage import new_folder

FORMAT = "cigf-dataset"
VERSION = 1
MANIFEST = "manifest.json"
PARTS: tuple[Part, ...] = ("valid", "test")

Arrays = dict[str, NDArray[Any]]


def save_split(
    split: Split,
    folder: Path,
    *,
    force: bool = False,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write a split as a folder; the folder appears only when it is complete.

    Args:
        split: What to save.
        folder: Where.
        force: Replace an existing folder.
        extra: Further JSON values for the manifest, under their own names.

    Raises:
        OutputError: The folder exists and `force` is off, or it cannot be written.
    """
    arrays = _arrays_of(split)
    with new_folder(folder, force=force) as temporary:
        for name, array in arrays.items():
            _write_array(temporary / f"{name}.npy", array)
        for ids in (split.train.users, split.train.items):
            ids.save(temporary / f"{ids.entity}s.arrow", f"{ids.entity}_id")
        manifest = _manifest_of(split, arrays) | {"extra": dict(extra or {})}
        text = json.dumps(manifest, indent=1, ensure_ascii=False)
        (temporary / MANIFEST).write_text(text + "\n", encoding="utf-8")


def _write_array(path: Path, array: NDArray[Any]) -> None:
    # Through Python's own file, which says that a disk is full; `numpy.save` hides the reason.
    array = np.ascontiguousarray(array)
    with path.open("wb") as stream:
        header = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(stream, header)
        stream.write(array.data.cast("B") if array.size else b"")


def _arrays_of(split: Split) -> Arrays:
    arrays: Arrays = {}
    for index, matrix in enumerate(split.train.interactions):
        arrays |= _matrix_arrays(f"train.{index}", matrix)
        times = split.train.times[index]
        if times is not None:
            arrays[f"train.{index}.times"] = times.astype(np.int64, copy=False)
        arrays |= _matrix_arrays(f"withheld.{index}", split.withheld[index])
    for part, all_pairs in (("valid", split.valid), ("test", split.test)):
        for name, pairs in all_pairs.items():
            prefix = f"{part}.{split.train.behaviors.index(name)}"
            arrays[f"{prefix}.users"] = pairs.users
            arrays[f"{prefix}.items"] = pairs.items
    for (part, name, seed), candidates in split.candidates.items():
        prefix = f"candidates.{part}.{split.train.behaviors.index(name)}.{seed}"
        arrays[f"{prefix}.all"] = candidates.all
        arrays[f"{prefix}.group"] = candidates.group
    return arrays


def _matrix_arrays(prefix: str, matrix: Matrix) -> Arrays:
    return {
        f"{prefix}.indptr": matrix.indptr.astype(np.int64, copy=False),
        f"{prefix}.indices": matrix.indices.astype(np.int32, copy=False),
    }


def _manifest_of(split: Split, arrays: Arrays) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "fingerprint": split.train.fingerprint,
        "behaviors": list(split.train.behaviors),
        "n_users": split.train.n_users,
        "n_items": split.train.n_items,
        "description": split.description,
        "arrays": {
            name: {"dtype": str(array.dtype), "shape": list(array.shape)}
            for name, array in arrays.items()
        },
    }


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the checked manifest of a dataset folder.

    Raises:
        DataError: It is no dataset folder, a broken one, or one of a newer format.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(
            f"{folder}: not a dataset folder (no {MANIFEST}); make one with cigf data prepare"
        ) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: broken ({error}); prepare the dataset again") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DataError(f"{path}: not the manifest of a dataset; give a dataset folder")
    if manifest.get("version") != VERSION:
        raise DataError(
            f"{folder}: dataset format {manifest.get('version')}; this cigf reads format {VERSION};"
            " update cigf or prepare the dataset again"
        )
    return manifest


def load_split(folder: Path) -> Split:
    """Return the split of a dataset folder, its arrays memory-mapped.

    Raises:
        DataError: The folder is no dataset, of a newer format, truncated, or its arrays do not fit
            the manifest.
    """
    manifest = read_manifest(folder)
    try:
        return _SplitReader(folder, manifest).split()
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(
            f"{folder / MANIFEST}: does not fit together ({error!r}); prepare the dataset again"
        ) from None


def load_dataset(folder: Path) -> Dataset:
    """Return all that is known when the test pairs are judged: training and withheld pairs."""
    return load_split(folder).history("test")


class _SplitReader:
    """Reads one dataset folder against its manifest."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest
        self.behaviors = Behaviors(tuple(manifest["behaviors"]))
        self.shape = (int(manifest["n_users"]), int(manifest["n_items"]))
        self.names: dict[str, dict[str, Any]] = manifest["arrays"]

    def split(self) -> Split:
        count = range(len(self.behaviors))
        train = Dataset(
            self.behaviors,
            self._ids("user", self.shape[0]),
            self._ids("item", self.shape[1]),
            tuple(self._matrix(f"train.{index}") for index in count),
            tuple(self._times(index) for index in count),
        )
        withheld = tuple(self._matrix(f"withheld.{index}") for index in count)
        valid, test = self._held_out("valid"), self._held_out("test")
        words = str(self.manifest["description"])
        return Split(train, withheld, valid, test, self._candidates(valid, test), words)

    def _array(self, name: str) -> NDArray[Any]:
        expected = self.names[name]
        path = self.folder / f"{name}.npy"
        try:
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise DataError(f"{path}: missing; prepare the dataset again") from None
        except (ValueError, OSError, EOFError) as error:
            raise DataError(
                f"{path}: truncated or broken ({error}); prepare the dataset again"
            ) from None
        found = {"dtype": str(array.dtype), "shape": list(array.shape)}
        if found != expected:
            raise DataError(
                f"{path}: holds {_in_words(found)}, the manifest says {_in_words(expected)}; "
                "prepare the dataset again"
            )
        return array

    def _ids(self, entity: str, count: int) -> IdMap:
        path = self.folder / f"{entity}s.arrow"
        try:
            ids = pl.scan_ipc(path, glob=False).collect()[f"{entity}_id"]
        except (OSError, pl.exceptions.PolarsError) as error:
            raise DataError(
                f"{path}: missing, truncated or broken ({error}); prepare the dataset again"
            ) from None
        if len(ids) != count:
            raise DataError(f"{path}: holds {len(ids)} ids, the manifest says {count}")
        return IdMap(ids, entity)

    def _matrix(self, prefix: str) -> Matrix:
        indptr, indices = self._array(f"{prefix}.indptr"), self._array(f"{prefix}.indices")
        fits = (
            indptr.shape == (self.shape[0] + 1,)
            and indptr[0] == 0
            and indptr[-1] == len(indices)
            and bool((indptr[1:] >= indptr[:-1]).all())  # differences could overflow
            and (not len(indices) or (indices.min() >= 0 and indices.max() < self.shape[1]))
        )
        if not fits:
            raise DataError(
                f"{self.folder / prefix}: its arrays are no matrix of {self.shape[0]} users and "
                f"{self.shape[1]} items; prepare the dataset again"
            )
        return matrix_from_parts(indptr, indices, self.shape)

    def _times(self, index: int) -> Times | None:
        name = f"train.{index}.times"
        return self._array(name) if name in self.names else None

    def _held_out(self, part: Part) -> dict[str, HeldOut]:
        return {
            name: HeldOut(
                self._rows(f"{part}.{index}.users", self.shape[0]),
                self._rows(f"{part}.{index}.items", self.shape[1]),
            )
            for index, name in enumerate(self.behaviors)
            if f"{part}.{index}.users" in self.names
        }

    def _rows(self, name: str, count: int) -> NDArray[np.int64]:
        rows = self._array(name)
        if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < count:
            raise DataError(f"{self.folder / name}.npy: holds rows outside 0..{count - 1}")
        return rows

    def _candidates(
        self, valid: dict[str, HeldOut], test: dict[str, HeldOut]
    ) -> dict[tuple[Part, str, int], Candidates]:
        found: dict[tuple[Part, str, int], Candidates] = {}
        for name in self.names:
            if name.startswith("candidates.") and name.endswith(".all"):
                _, part, index, seed, _ = name.split(".")
                key: Part = "valid" if part == "valid" else "test"
                group = self._array(name.removesuffix("all") + "group")
                behavior = self.behaviors.names[int(index)]
                pairs = (valid if key == "valid" else test)[behavior]
                drawn = Candidates(self._array(name), group)
                self._check_candidates(name, drawn, len(pairs))
                found[key, behavior, int(seed)] = drawn
        return found

    def _check_candidates(self, name: str, drawn: Candidates, count: int) -> None:
        for array in (drawn.all, drawn.group):
            inside = not array.size or -1 <= int(array.min()) <= int(array.max()) < self.shape[1]
            if len(array) != count or not inside:
                raise DataError(
                    f"{self.folder / name}.npy: these candidates do not fit {count} held-out pairs "
                    f"and {self.shape[1]} items; prepare the dataset again"
                )


def _in_words(array: Mapping[str, Any]) -> str:
    return f"{array.get('dtype')} {tuple(array.get('shape', ()))}"
