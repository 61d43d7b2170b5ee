"""Published pickles: read exactly, and never run."""

import os
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from cigf.data.releases import (
    list_matrices,
    load_pickle,
    read_held_out,
    read_matrix,
    read_release,
)
from cigf.errors import DataError

SHAPE = (5, 7)
INT8 = b"cnumpy\ndtype\nX\x02\x00\x00\x00i1\x85Rq\x01"
"""Opcodes that leave the type int8 on the stack and remember it as number 1."""
USERS = np.array([0, 0, 1, 3, 4, 4])
ITEMS = np.array([1, 6, 0, 2, 1, 5])


def old_pickle(value):
    """Pickle as the releases were: protocol 3, with the module names of old NumPy and SciPy."""
    text = pickle.dumps(value, protocol=3)
    text = text.replace(b"cscipy.sparse._csr\n", b"cscipy.sparse.csr\n")
    return text.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def make_matrix(values=1, dtype=np.int32):
    data = np.broadcast_to(np.asarray(values, dtype=dtype), USERS.shape)
    return csr_matrix((data, (USERS, ITEMS)), shape=SHAPE)


def write(path: Path, value) -> Path:
    path.write_bytes(value if isinstance(value, bytes) else old_pickle(value))
    return path


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float32, np.float64, np.bool_])
@pytest.mark.parametrize("protocol", [3, "old"])
def test_matrix_is_read_as_it_was_written(tmp_path, dtype, protocol):
    matrix = make_matrix(dtype=dtype)
    content = old_pickle(matrix) if protocol == "old" else pickle.dumps(matrix, protocol=3)
    read = read_matrix(write(tmp_path / "trn_buy", content))
    assert read.shape == SHAPE
    assert read.times is None
    assert read.users.tolist() == USERS.tolist()
    assert read.items.tolist() == ITEMS.tolist()


def test_stored_zeros_are_left_out(tmp_path):
    matrix = make_matrix([1, 0, 1, 0, 1, 1])
    read = read_matrix(write(tmp_path / "trn_buy", matrix))
    assert list(zip(read.users, read.items, strict=True)) == [(0, 1), (1, 0), (4, 1), (4, 5)]


def test_empty_matrix(tmp_path):
    read = read_matrix(write(tmp_path / "trn_buy", csr_matrix(SHAPE, dtype=np.int32)))
    assert (read.shape, len(read.users), read.times) == (SHAPE, 0, None)


def test_unix_seconds_become_milliseconds(tmp_path):
    seconds = 1_511_539_200 + np.arange(6)
    read = read_matrix(write(tmp_path / "trn_fav", make_matrix(seconds)))
    assert read.times.tolist() == [1_511_539_200_000 + 1000 * k for k in range(6)]


@pytest.mark.parametrize("per_second", [1_000, 1_000_000, 1_000_000_000])
def test_finer_unix_times_become_milliseconds_too(tmp_path, per_second):
    times = (1_511_539_200 + np.arange(6)) * per_second
    matrix = csr_matrix((times, (np.arange(6) % 5, np.arange(6))), shape=(5, 6))
    read = read_matrix(write(tmp_path / "trn_fav", matrix))
    assert sorted(read.times) == [1_511_539_200_000 + 1000 * k for k in range(6)]


def test_month_and_day_become_milliseconds(tmp_path):
    read = read_matrix(write(tmp_path / "trn_cart", make_matrix([511, 630, 1111, 701, 831, 1001])))
    days = ["2014-05-11", "2014-06-30", "2014-11-11", "2014-07-01", "2014-08-31", "2014-10-01"]
    expected = np.array(days, dtype="datetime64[ms]").astype(np.int64)
    assert read.times.tolist() == expected.tolist()


@pytest.mark.parametrize("values", [[1, 2, 3, 4, 5, 6], [511, 1399, 511, 511, 511, 511]])
def test_counts_are_no_times(tmp_path, values):
    assert read_matrix(write(tmp_path / "trn_buy", make_matrix(values))).times is None


@pytest.mark.parametrize(
    "entries",
    [
        [None, 3, None, 0, 6],
        [None, np.int32(3), None, np.int64(0), np.int32(6)],
    ],
)
def test_held_out_list(tmp_path, entries):
    users, items = read_held_out(write(tmp_path / "tst_int", entries))
    assert users.tolist() == [1, 3, 4]
    assert items.tolist() == [3, 0, 6]


@pytest.mark.parametrize("dtype", ["<i8", ">i4"])
def test_held_out_array_has_an_item_for_every_user(tmp_path, dtype):
    users, items = read_held_out(write(tmp_path / "tst_int", np.array([5, 0, 2], dtype)))
    assert (users.tolist(), items.tolist()) == ([0, 1, 2], [5, 0, 2])


class RunsCommand:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"echo ran > '{self.marker}'",)


class Evaluates:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return eval, (f"open({str(self.marker)!r}, 'w').close()",)


@pytest.mark.parametrize("payload", [RunsCommand, Evaluates])
@pytest.mark.parametrize("protocol", [0, 2, 3, 4, 5])
def test_a_pickle_that_wants_to_run_code_is_refused_and_does_not_run(tmp_path, payload, protocol):
    marker = tmp_path / "marker"
    content = pickle.dumps([make_matrix(), payload(marker)], protocol=protocol)
    path = write(tmp_path / "trn_buy", content)
    with pytest.raises(DataError, match="refused, because this pickle asks for"):
        load_pickle(path)
    with pytest.raises(DataError, match="refused"):
        read_held_out(path)
    assert not marker.exists()
    pickle.loads(content)  # the payload is real: an ordinary reader would have run it
    assert marker.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"cnumpy\nload\n.",
        b"cnumpy.core.multiarray\nfromfile\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__class__\x93.",
        b"\x80\x04\x8c\x05numpy\x8c\x0eos.path.exists\x93.",
        b"cbuiltins\nscalar\n.",
        b"\x80\x02\x82\x01.",
    ],
)
def test_names_beyond_the_five_are_refused(tmp_path, content):
    with pytest.raises(DataError, match=r"trn_buy: (refused|not a published)"):
        load_pickle(write(tmp_path / "trn_buy", content))


@pytest.mark.parametrize(
    "content",
    [
        INT8 + b"0cnumpy.core.multiarray\nscalar\n(h\x01C\x01\x05tRK\x01b.",  # a state, a number
        b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01K\x01\x85" + INT8 + b"\x89C\x02abtb.",
        b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01K\x01\x85" + INT8 + b"\x89]tb.",
        b"cnumpy\ndtype\n(X\x01\x00\x00\x00OtR.",  # an array of objects
        b"cnumpy\ndtype\n(X\x04\x00\x00\x00i4,O\x74R.",
        b"cnumpy.core.multiarray\n_reconstruct\nK\x01b.",  # a state for a function
        b"cnumpy\ndtype\nN}X\x05\x00\x00\x00ALLOWK\x01s\x86b.",  # attributes for a class
    ],
)
def test_stand_ins_cannot_be_bent(tmp_path, content):
    with pytest.raises(DataError, match="not a published matrix"):
        load_pickle(write(tmp_path / "trn_buy", content))


def test_truncated_at_any_place(tmp_path):
    content = old_pickle(make_matrix())
    for length in range(len(content)):
        with pytest.raises(DataError, match="trn_buy: "):
            read_matrix(write(tmp_path / "trn_buy", content[:length]))


def test_a_huge_memo_takes_no_memory(tmp_path):
    content = b"\x80\x03]r" + (2**28).to_bytes(4, "little") + b"."
    tracemalloc.start()
    with pytest.raises(DataError, match="memo 268435456 after 2 steps"):
        load_pickle(write(tmp_path / "trn_buy", content))
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@settings(max_examples=60, deadline=None)
@given(junk=st.binary(max_size=60), at=st.integers(0, 500))
def test_junk_gives_a_data_error_or_a_sound_matrix(tmp_path_factory, junk, at):
    content = old_pickle(make_matrix())
    path = tmp_path_factory.mktemp("junk") / "trn_buy"
    path.write_bytes(content[:at] + junk + content[at + len(junk) :])
    try:
        read = read_matrix(path)
    except DataError:
        return
    assert len(read.users) == len(read.items)
    assert ((read.items >= 0) & (read.items < read.shape[1])).all()
    assert ((read.users >= 0) & (read.users < read.shape[0])).all()


@pytest.mark.parametrize("content", [b"", b"user_id,item_id\n1,2\n", b"PK\x03\x04zip", b"Rar!\x1a"])
def test_foreign_files(tmp_path, content):
    with pytest.raises(DataError, match="not a published matrix or list"):
        read_matrix(write(tmp_path / "trn_buy", content))


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"trn_buy: cannot be read \(No such file"):
        load_pickle(tmp_path / "trn_buy")


@pytest.mark.parametrize(
    ("value", "kind"), [([1, 2], "list"), (np.arange(3), "array"), (np.int32(3), "number")]
)
def test_something_else_than_a_matrix(tmp_path, value, kind):
    with pytest.raises(DataError, match=f"holds a {kind}; a sparse matrix"):
        read_matrix(write(tmp_path / "trn_buy", value))


@pytest.mark.parametrize(("value", "kind"), [(make_matrix(), "sparse matrix"), ({}, "dict")])
def test_something_else_than_held_out_items(tmp_path, value, kind):
    with pytest.raises(DataError, match=f"holds a {kind}; a list of items"):
        read_held_out(write(tmp_path / "tst_int", value))


@pytest.mark.parametrize("wrong", ["3", -1, 1.5])
def test_a_held_out_entry_that_is_no_item(tmp_path, wrong):
    with pytest.raises(DataError, match="entry 1 is"):
        read_held_out(write(tmp_path / "tst_int", [None, wrong]))


def break_matrix(name, value):
    matrix = make_matrix()
    setattr(matrix, name, value)
    return matrix


@pytest.mark.parametrize(
    "matrix",
    [
        break_matrix("indices", np.array([1, 6, 0, 2, 1, 7], np.int32)),
        break_matrix("indices", np.array([1, 6, 0, 2, 1, -1], np.int32)),
        break_matrix("indptr", np.array([0, 2, 3, 3, 4, 5], np.int32)),
        break_matrix("indptr", np.array([0, 3, 2, 3, 4, 6], np.int32)),
        # Its differences, in 32 bits, are not negative.
        break_matrix("indptr", np.array([0, 2**31 - 1, -2, 3, 4, 6], np.int32)),
        break_matrix("indptr", np.array([0, 2, 6], np.int32)),
        break_matrix("data", np.ones(5, np.int32)),
        break_matrix("_shape", (5, 6)),
        break_matrix("indices", np.array([1, 6, 0, 2, 1, 5], np.float64)),
    ],
)
def test_arrays_that_contradict_the_matrix(tmp_path, matrix):
    with pytest.raises(DataError, match="contradict it"):
        read_matrix(write(tmp_path / "trn_buy", matrix))


@pytest.mark.parametrize("name", ["_shape", "indptr", "indices", "data"])
def test_a_matrix_without_a_part(tmp_path, name):
    with pytest.raises(DataError, match="without its shape or arrays"):
        read_matrix(write(tmp_path / "trn_buy", break_matrix(name, None)))


def test_two_dimensional_arrays_are_refused(tmp_path):
    with pytest.raises(DataError, match="not a list of numbers"):
        read_held_out(write(tmp_path / "tst_int", np.ones((2, 3))))


def make_folder(folder: Path, **matrices) -> Path:
    folder.mkdir()
    for name, matrix in matrices.items():
        write(folder / f"trn_{name}", matrix)
    write(folder / "tst_int", [None, 3, None, 0, 6])
    return folder


def test_folder(tmp_path):
    folder = make_folder(tmp_path / "d", pv=make_matrix(), buy=make_matrix())
    files = list_matrices(folder)
    assert list(files) == ["buy", "pv"]
    release = read_release(folder, files)
    assert list(release.matrices) == ["buy", "pv"]
    assert release.test_users.tolist() == [1, 3, 4]
    assert release.test_items.tolist() == [3, 0, 6]


def test_folder_without_held_out_items(tmp_path):
    folder = make_folder(tmp_path / "d", buy=make_matrix())
    (folder / "tst_int").unlink()
    release = read_release(folder, list_matrices(folder))
    assert release.test_users is None


def test_matrices_of_different_shapes(tmp_path):
    wide = csr_matrix((5, 11), dtype=np.int32)
    folder = make_folder(tmp_path / "d", pv=wide, buy=make_matrix())
    with pytest.raises(DataError, match="differ in shape: buy 5 x 7, pv 5 x 11"):
        read_release(folder, list_matrices(folder))


def test_held_out_items_beyond_the_matrices(tmp_path):
    folder = make_folder(tmp_path / "d", buy=make_matrix())
    write(folder / "tst_int", [7, None, None, None, None])
    with pytest.raises(DataError, match="beyond the 5 x 7"):
        read_release(folder, list_matrices(folder))


def test_no_folder(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        list_matrices(tmp_path / "missing")


def test_empty_folder(tmp_path):
    with pytest.raises(DataError, match="no file trn_<behavior>"):
        list_matrices(tmp_path)


def test_packed_matrices(tmp_path):
    (tmp_path / "trn_pv.part01.rar").write_bytes(b"Rar!")
    with pytest.raises(DataError, match=r"trn_pv\.part01\.rar: unpack the archive first"):
        list_matrices(tmp_path)


@pytest.mark.data
def test_real_release(data_folder):
    folder = data_folder / "beibei-buy"
    release = read_release(folder, list_matrices(folder))
    assert release.matrices["buy"].shape == (21_716, 7_977)
    assert len(release.matrices["buy"].users) == 282_860
    assert len(release.test_users) == 10_000
    assert release.test_items.min() == 35
