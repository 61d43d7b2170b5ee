"""Adjacency lists, as GHCF publishes its data: one line `user item item ...` per user."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cigf.errors import DataError

Ints = NDArray[np.int64]

TRAIN_FILE = "train.txt"
"""Training pairs of the behavior that pairs are held out of, which is to be predicted."""
TEST_FILE = "test.txt"
"""The pairs that are held out of it."""


def list_adjacency(folder: Path) -> dict[str, Path]:
    """Return the .txt files of a folder by name without suffix, `train` and `test` among them.

    Raises:
        DataError: There is no such folder, or no train.txt in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the one that holds {TRAIN_FILE}")
    files = {path.stem: path for path in sorted(folder.glob("*.txt"))}
    if "train" not in files:
        raise DataError(
            f"{folder}: no {TRAIN_FILE} in it; adjacency lists come as {TRAIN_FILE} and "
            f"{TEST_FILE} (target behavior) and one file per other behavior, such as cart.txt"
        )
    return files


def read_adjacency(path: Path) -> tuple[Ints, Ints]:
    """Return the users and items of all pairs of an adjacency list, in the order of the file.

    Raises:
        DataError: The file cannot be read as text, holds no pair, or a line (named) holds
            something else than numbers from 0 up.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not an adjacency list: {error}") from None
    rows = [_parse_line(path, number, line) for number, line in enumerate(lines, start=1)]
    rows = [row for row in rows if len(row) > 1]
    if not rows:
        raise DataError(f"{path}: holds no pair; lines must be: user item item ...")
    users = np.repeat([row[0] for row in rows], [len(row) - 1 for row in rows])
    return users, np.concatenate([row[1:] for row in rows])


def _parse_line(path: Path, number: int, line: str) -> Ints:
    try:
        row = np.array(line.split(), dtype=np.int64)
    except (ValueError, OverflowError):
        row = np.array([-1])
    if len(row) and row.min() < 0:
        shown = line if len(line) <= 40 else line[:40] + "..."
        raise DataError(f"{path}: line {number}: {shown!r}; numbers from 0 up are needed")
    return row
