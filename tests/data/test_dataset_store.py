import errno
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from cigf.data.dataset_store import load_dataset, load_split, read_manifest, save_split
from cigf.data.options import PrepareOptions
from cigf.data.prepare import build_split
from cigf.data.readers import read_events
from cigf.data.splitting import Split
from cigf.errors import DataError, OutputError

NAMES = ("view", "a/b: odd name", "buy")


def small_split(*, times: bool = True, n_users: int = 13, text: bool = False) -> Split:
    generator = np.random.default_rng(5)
    n_events = 40 * n_users
    users = generator.integers(0, n_users, n_events)
    frame = pl.DataFrame(
        {
            "user": [f"u{user}" for user in users] if text else users,
            "item": generator.integers(0, 17, n_events),
            "event": generator.choice(NAMES, n_events),
            "time": generator.integers(1, 10_000, n_events),
        }
    )
    options = PrepareOptions(behaviors=NAMES, n_candidates=3, time_col=None if times else "")
    return build_split(read_events(frame, options), options)[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_split(small_split(), tmp_path / "ds", extra={"report": {"n": 1}})
    return tmp_path / "ds"


@pytest.mark.parametrize("times", [True, False])
@pytest.mark.parametrize("text", [True, False])
def test_a_saved_split_is_the_same_after_loading(tmp_path: Path, times: bool, text: bool) -> None:
    split = small_split(times=times, text=text)
    save_split(split, tmp_path / "ds")
    loaded = load_split(tmp_path / "ds")
    assert loaded.train.behaviors == split.train.behaviors
    assert loaded.train.users == split.train.users
    assert loaded.train.items == split.train.items
    assert loaded.description == split.description
    assert loaded.train.fingerprint == split.train.fingerprint
    for pair in [(split.train.interactions, loaded.train.interactions),
                 (split.withheld, loaded.withheld)]:  # fmt: skip
        for before, after in zip(*pair, strict=True):
            assert (before.toarray() == after.toarray()).all()
    for before, after in zip(split.train.times, loaded.train.times, strict=True):
        assert before is None and after is None if not times else (before == after).all()
    assert loaded.test.keys() == split.test.keys()
    assert loaded.valid.keys() == split.valid.keys()
    assert (loaded.test["buy"].items == split.test["buy"].items).all()
    assert loaded.candidates.keys() == split.candidates.keys()
    assert load_dataset(tmp_path / "ds").target.nnz == split.history("test").target.nnz


def test_a_folder_with_a_pattern_s_marks_in_its_name_is_read_itself(tmp_path: Path) -> None:
    split = small_split(text=True)
    save_split(split, tmp_path / "ds[1]")
    save_split(small_split(text=False), tmp_path / "ds1")
    assert load_split(tmp_path / "ds[1]").train.users == split.train.users


def test_indices_are_mapped_not_copied(folder: Path) -> None:
    matrix = load_split(folder).train.interactions[0]
    assert matrix.indices.dtype == np.int32
    base = matrix.indices
    while getattr(base, "base", None) is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)


def test_the_manifest_holds_what_was_added(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert manifest["extra"] == {"report": {"n": 1}}
    assert manifest["fingerprint"] == load_split(folder).train.fingerprint
    assert manifest["behaviors"] == list(NAMES)


def test_an_existing_folder_is_kept_without_force(folder: Path) -> None:
    before = read_manifest(folder)
    with pytest.raises(OutputError, match="exists already"):
        save_split(small_split(n_users=11), folder)
    assert read_manifest(folder) == before
    save_split(small_split(n_users=11), folder, force=True)
    assert read_manifest(folder)["n_users"] == 11
    assert [path.name for path in folder.parent.iterdir()] == ["ds"]


# --- folders that are not what they should be ----------------------------------------------------


def change_manifest(folder: Path, **values: Any) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | values))


def test_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"not a dataset folder \(no manifest.json\); make one with"
    ):
        load_split(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="not a dataset folder"):
        load_split(tmp_path / "file")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"manifest\.json: broken"),
        ("[]", "not the manifest of a dataset"),
        ('{"format": "other"}', "not the manifest of a dataset"),
        ('{"format": "cigf-dataset", "version": 2}', "dataset format 2; this cigf reads format 1"),
        ('{"format": "cigf-dataset", "version": 1}', "does not fit together .KeyError"),
    ],
)
def test_manifests_that_are_none(folder: Path, text: str, message: str) -> None:
    (folder / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=message):
        load_split(folder)


def test_a_truncated_array_is_named(folder: Path) -> None:
    path = folder / "train.0.indices.npy"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(DataError, match=r"train\.0\.indices\.npy: truncated or broken"):
        load_split(folder)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"not an array at all"])
def test_a_file_that_is_no_array_is_named(folder: Path, content: bytes) -> None:
    (folder / "test.2.users.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"test\.2\.users\.npy: truncated or broken"):
        load_split(folder)


def test_a_pickled_array_is_not_loaded(folder: Path) -> None:
    np.save(folder / "test.2.users.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="truncated or broken"):
        load_split(folder)


def test_a_missing_array_is_named(folder: Path) -> None:
    (folder / "withheld.1.indptr.npy").unlink()
    with pytest.raises(DataError, match=r"withheld\.1\.indptr\.npy: missing"):
        load_split(folder)


def test_an_array_of_another_shape_is_named(folder: Path) -> None:
    np.save(folder / "test.2.users.npy", np.zeros(3, dtype=np.int64))
    with pytest.raises(DataError, match=r"users\.npy: holds int64 \(3,\), the manifest says int64"):
        load_split(folder)


@pytest.mark.parametrize(
    ("name", "place", "value", "message"),
    [
        ("train.0.indices", 0, 17, "are no matrix of 13 users and 17 items"),
        ("train.0.indices", 0, -1, "are no matrix of 13 users and 17 items"),
        ("train.0.indptr", 0, 1, "are no matrix of 13 users and 17 items"),
        ("train.0.indptr", 2, 9999, "are no matrix of 13 users and 17 items"),
        ("train.0.indptr", -1, 3, "are no matrix of 13 users and 17 items"),
        ("test.2.users", 0, 13, r"holds rows outside 0\.\.12"),
        ("test.2.items", 0, -1, r"holds rows outside 0\.\.16"),
        ("candidates.test.2.0.all", 0, 17, "these candidates do not fit"),
        ("candidates.test.2.0.group", 0, -2, "these candidates do not fit"),
    ],
)
def test_arrays_that_point_outside(
    folder: Path, name: str, place: int, value: int, message: str
) -> None:
    array = np.load(folder / f"{name}.npy")
    array[place] = value
    np.save(folder / f"{name}.npy", array)
    with pytest.raises(DataError, match=message):
        load_split(folder)


def test_indices_that_no_row_points_to(folder: Path) -> None:
    array = np.append(np.load(folder / "train.0.indices.npy"), np.int32(3))
    np.save(folder / "train.0.indices.npy", array)
    arrays = read_manifest(folder)["arrays"]
    arrays["train.0.indices"]["shape"] = list(array.shape)
    change_manifest(folder, arrays=arrays)
    with pytest.raises(DataError, match="are no matrix of 13 users and 17 items"):
        load_split(folder)


def test_candidates_of_another_number_of_pairs(folder: Path) -> None:
    array = np.load(folder / "candidates.test.2.0.all.npy")[:-1]
    np.save(folder / "candidates.test.2.0.all.npy", array)
    arrays = read_manifest(folder)["arrays"]
    arrays["candidates.test.2.0.all"]["shape"] = list(array.shape)
    change_manifest(folder, arrays=arrays)
    with pytest.raises(DataError, match="these candidates do not fit"):
        load_split(folder)


def test_ids_that_do_not_fit(folder: Path) -> None:
    content = (folder / "users.arrow").read_bytes()
    pl.DataFrame({"user_id": [1, 2]}).write_ipc(folder / "users.arrow")
    with pytest.raises(DataError, match=r"users\.arrow: holds 2 ids, the manifest says 13"):
        load_split(folder)
    (folder / "users.arrow").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"users\.arrow: missing, truncated or broken"):
        load_split(folder)
    pl.DataFrame({"other": range(13)}).write_ipc(folder / "users.arrow")
    with pytest.raises(DataError, match=r"users\.arrow: missing, truncated or broken"):
        load_split(folder)


@pytest.mark.parametrize("behaviors", [["view", "buy"], [*NAMES, "more"], "x", [1, 2, 3], None])
def test_behaviors_that_do_not_fit(folder: Path, behaviors: Any) -> None:
    change_manifest(folder, behaviors=behaviors)
    with pytest.raises(DataError, match="does not fit together"):
        load_split(folder)


# --- a full disk ---------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OutputError, match="no space left on the device; nothing was written"):
        save_split(small_split(), tmp_path / "ds")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    size = "size=16k"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "tmpfs", disk], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a tmpfs needs root")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_disk_that_is_really_full_leaves_nothing(tiny_disk: Path) -> None:
    with pytest.raises(OutputError, match="no space left on the device; nothing was written"):
        save_split(small_split(n_users=97), tiny_disk / "ds")
    assert list(tiny_disk.iterdir()) == []
