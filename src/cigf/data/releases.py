"""The pickled matrices of MB-GMN and CIGF, read without running anything that is in them.

This is the only place where a pickle is opened. Of all the names that a pickle can ask for, five
are known, and none of them is the real thing: each is a passive stand-in of ours that only keeps
what it is given. Arrays are then built from the kept bytes by our own code, with every size and
index checked. So a pickle can neither run code nor hand a malformed array to NumPy or SciPy.

Layout of a folder: `trn_<behavior>`, one CSR matrix each, all of one shape (U, I), whose stored
values may be times; `tst_int`, the held-out item of each user, or None.
"""

import io
import pickle
import pickletools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cigf.data.times import to_milliseconds
from cigf.errors import DataError

Ints = NDArray[np.int64]

HELD_OUT_FILE = "tst_int"
MATRIX_PREFIX = "trn_"
MILLISECONDS = 1000
EARLIEST_UNIX_TIME = 100_000_000
"""Smaller values (below March 1973) are no times in seconds."""
MONTH_DAY_YEAR = 2014
"""Year of the times that are written MMDD: the IJCAI-15 log ends on 11 November 2014."""


def _refuse_state(self: object, state: object) -> None:
    """Without this a pickle could set attributes of a stand-in, and so of the next reading."""
    raise pickle.UnpicklingError("a number or a function with a state")


class _Scalar(int):
    """Stand-in for `multiarray.scalar`: becomes a plain integer."""

    def __new__(cls, dtype: "_Dtype", raw: bytes) -> "_Scalar":
        return super().__new__(cls, int(dtype.decode(raw)[0]))

    __setstate__ = _refuse_state


class _Dtype:
    """Stand-in for `numpy.dtype`: a letter, a size and a byte order."""

    def __init__(self, code: str, align: object = False, copy: object = False) -> None:
        if not re.fullmatch(r"[<>|=]?(b1|[iu][1248]|f[48])", code):
            raise pickle.UnpicklingError(f"an array of type {code!r}")
        self._code = code.lstrip("<>|=")
        self._order = code[0] if code[0] in "<>" else "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self._order = state[1]

    def decode(self, raw: object) -> NDArray[Any]:
        """Return the one-dimensional array that some bytes hold."""
        if not isinstance(raw, bytes):
            raise pickle.UnpicklingError("an array without bytes")
        return np.frombuffer(raw, np.dtype(self._order + self._code))


class _Array:
    """Stand-in for `numpy.ndarray`: shape and decoded values."""

    values: NDArray[Any]

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, _, raw = state
        if not isinstance(dtype, _Dtype) or len(shape) != 1:
            raise pickle.UnpicklingError("an array that is not a list of numbers")
        values = dtype.decode(raw)
        if len(values) != shape[0]:
            raise pickle.UnpicklingError(f"an array of {len(values)} values that says {shape[0]}")
        self.values = values


class _Reconstruct:
    """Stand-in for `multiarray._reconstruct`: an empty array, whose state follows."""

    def __new__(cls, *_: object) -> Any:
        return _Array()

    __setstate__ = _refuse_state


class _Matrix:
    """Stand-in for `csr_matrix`: the parts by name."""

    parts: dict[str, Any]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.parts = dict(state)


ALLOWED: dict[str, type] = {
    "csr_matrix": _Matrix,
    "ndarray": _Array,
    "dtype": _Dtype,
    "_reconstruct": _Reconstruct,
    "scalar": _Scalar,
}
"""The five names, each in the module where old or new SciPy and NumPy keep it."""
MODULES: dict[str, tuple[str, ...]] = {
    "csr_matrix": ("scipy.sparse.csr", "scipy.sparse._csr", "scipy.sparse"),
    "ndarray": ("numpy",),
    "dtype": ("numpy",),
    "_reconstruct": ("numpy.core.multiarray", "numpy._core.multiarray"),
    "scalar": ("numpy.core.multiarray", "numpy._core.multiarray"),
}


class _Refused(Exception):
    """A pickle asked for a name that is not among the five."""


class _RestrictedUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        if module not in MODULES.get(name, ()):
            raise _Refused(f"{module}.{name}")
        return ALLOWED[name]


def _check_memo(content: bytes) -> None:
    """Refuse a memo number that is too large: pickle would make room for all smaller ones."""
    for n_before, (code, number, _) in enumerate(pickletools.genops(content)):
        if code.name in ("PUT", "BINPUT", "LONG_BINPUT") and (number or 0) > n_before:
            raise pickle.UnpicklingError(f"memo {number} after {n_before} steps")


def load_pickle(path: Path) -> object:
    """Read a published pickle: a `_Matrix`, an `_Array`, or a plain Python object.

    Raises:
        DataError: The file is missing, wants to run code, is truncated or is no pickle.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        _check_memo(content)
        return _RestrictedUnpickler(io.BytesIO(content)).load()
    except _Refused as error:
        raise DataError(
            f"{path}: refused, because this pickle asks for {error} and could run code; "
            "only matrices and lists of numbers are read. Do not open it with other tools"
        ) from None
    except Exception as error:  # anything may go wrong in the bytes of a stranger
        raise DataError(
            f"{path}: not a published matrix or list, or truncated ({error or 'it ends early'}); "
            "download it again"
        ) from None


@dataclass(frozen=True)
class ReleaseMatrix:
    """One training matrix of a release.

    Args:
        shape: (U, I).
        users: Row of each stored pair, ascending, shape (n,).
        items: Column of each stored pair, shape (n,).
        times: Milliseconds since 1970 UTC of each pair, or None where the values are no times.
    """

    shape: tuple[int, int]
    users: Ints
    items: Ints
    times: Ints | None


def read_matrix(path: Path) -> ReleaseMatrix:
    """Read one `trn_<behavior>` file; stored zeros are left out.

    Raises:
        DataError: As `load_pickle`; or the file holds something else, or an inconsistent matrix.
    """
    loaded = load_pickle(path)
    if not isinstance(loaded, _Matrix):
        raise DataError(f"{path}: holds a {_kind(loaded)}; a sparse matrix (CSR) is needed")
    try:
        shape = loaded.parts.get("_shape", loaded.parts.get("shape"))
        n_users, n_items = (int(size) for size in shape or ())
        names = ("indptr", "indices", "data")
        indptr, indices, data = (loaded.parts[name].values for name in names)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise DataError(f"{path}: a sparse matrix without its shape or arrays") from None
    if not _is_consistent(n_users, n_items, indptr, indices, data):
        raise DataError(f"{path}: the arrays of this {n_users} x {n_items} matrix contradict it")
    users = np.repeat(np.arange(n_users, dtype=np.int64), np.diff(indptr))
    stored = data != 0
    times = _find_times(data[stored])
    return ReleaseMatrix((n_users, n_items), users[stored], indices[stored].astype(np.int64), times)


def _is_consistent(
    n_users: int, n_items: int, indptr: NDArray[Any], indices: NDArray[Any], data: NDArray[Any]
) -> bool:
    return bool(
        n_users >= 0
        and len(indptr) == n_users + 1
        and indptr.dtype.kind == "i"
        and indices.dtype.kind == "i"
        and indptr[0] == 0
        and indptr[-1] == len(indices) == len(data)
        and (indptr[1:] >= indptr[:-1]).all()  # differences could overflow
        and (indices >= 0).all()
        and (indices < n_items).all()
    )


def _find_times(values: NDArray[Any]) -> Ints | None:
    """Read stored values as unix times or as MMDD, where all of them are such times."""
    if not len(values) or values.dtype.kind not in "iu":
        return None
    whole = values.astype(np.int64)
    if whole.min() >= EARLIEST_UNIX_TIME:
        times = to_milliseconds(pl.Series(whole)).to_numpy()
        return times if times.min() >= EARLIEST_UNIX_TIME * MILLISECONDS else None
    months, days = np.divmod(whole, 100)
    if ((months >= 1) & (months <= 12) & (days >= 1) & (days <= 31)).all():
        return _from_month_day(months, days)
    return None


def _from_month_day(months: Ints, days: Ints) -> Ints:
    first = np.datetime64(str(MONTH_DAY_YEAR), "M") + (months - 1)
    dates = first.astype("datetime64[D]") + (days - 1)
    milliseconds: Ints = dates.astype("datetime64[ms]").astype(np.int64)
    return milliseconds


def read_held_out(path: Path) -> tuple[Ints, Ints]:
    """Read `tst_int`: return the users that have a held-out item, and these items.

    Raises:
        DataError: As `load_pickle`; or the file is not one item (or None) per user.
    """
    loaded = load_pickle(path)
    if isinstance(loaded, _Array) and loaded.values.dtype.kind in "iu":
        entries: list[Any] = loaded.values.tolist()
    elif isinstance(loaded, list):
        entries = loaded
    else:
        raise DataError(f"{path}: holds a {_kind(loaded)}; a list of items per user is needed")
    for user, item in enumerate(entries):
        if item is not None and (not isinstance(item, int) or item < 0):
            raise DataError(f"{path}: entry {user} is {item!r}; an item number or None is needed")
    users = [user for user, item in enumerate(entries) if item is not None]
    items = [int(entries[user]) for user in users]
    return np.array(users, dtype=np.int64), np.array(items, dtype=np.int64)


def _kind(loaded: object) -> str:
    names = {"_Matrix": "sparse matrix", "_Array": "array", "_Scalar": "number"}
    return names.get(type(loaded).__name__, type(loaded).__name__)


@dataclass(frozen=True)
class Release:
    """A folder of published matrices: one matrix per behavior name, and the held-out pairs."""

    matrices: dict[str, ReleaseMatrix]
    test_users: Ints | None
    test_items: Ints | None


def list_matrices(folder: Path) -> dict[str, Path]:
    """Return the `trn_<behavior>` files of a folder by behavior name.

    Raises:
        DataError: There is no such folder or no such file in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the one that holds {MATRIX_PREFIX}* files")
    found = {
        p.name.removeprefix(MATRIX_PREFIX): p for p in sorted(folder.glob(MATRIX_PREFIX + "*"))
    }
    if not found:
        raise DataError(f"{folder}: no file {MATRIX_PREFIX}<behavior>, such as {MATRIX_PREFIX}buy")
    parts = [p.name for p in found.values() if p.suffix in (".rar", ".zip")]
    if parts:
        raise DataError(f"{folder}: {', '.join(parts)}: unpack the archive first, then import")
    return found


def read_release(folder: Path, files: dict[str, Path]) -> Release:
    """Read the matrices in `files` (behavior name to path) and the folder's held-out pairs.

    Raises:
        DataError: A file cannot be read, or the matrices differ in shape.
    """
    matrices = {name: read_matrix(path) for name, path in files.items()}
    shapes = {name: matrix.shape for name, matrix in matrices.items()}
    if len(set(shapes.values())) > 1:
        text = ", ".join(f"{name} {u} x {i}" for name, (u, i) in shapes.items())
        raise DataError(f"{folder}: the matrices differ in shape: {text}")
    test = folder / HELD_OUT_FILE
    if not test.exists():
        return Release(matrices, None, None)
    users, items = read_held_out(test)
    n_users, n_items = next(iter(shapes.values()))
    if len(users) and (users.max() >= n_users or items.max() >= n_items):
        raise DataError(f"{test}: users or items beyond the {n_users} x {n_items} of the matrices")
    return Release(matrices, users, items)
