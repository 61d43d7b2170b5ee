"""Rows of different lengths on a device: the little that scoring and ranking need of CSR."""

import warnings
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from cigf.data.dataset import Matrix


def as_tensor(array: NDArray[Any], device: torch.device) -> Tensor:
    """Return the array on a device, without a copy where it is there already."""
    with warnings.catch_warnings():
        # A memory-mapped dataset is read-only; torch only warns that it must not be written.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.asarray(array)).to(device)


def expand(
    starts: Int64[Tensor, "rows"], stops: Int64[Tensor, "rows"]
) -> tuple[Int64[Tensor, "m"], Int64[Tensor, "m"]]:
    """List the places starts[r]..stops[r]-1 of every row, one row after the other.

    Returns:
        The row r of each place, and the places.
    """
    lengths = stops - starts
    owners = torch.repeat_interleave(lengths)
    shifts = starts - (lengths.cumsum(0) - lengths)
    return owners, torch.arange(len(owners), device=starts.device) + shifts[owners]


def sum_by(owners: Int64[Tensor, "m"], values: Tensor, n_rows: int) -> Int64[Tensor, "rows"]:
    """Return the sum of each row's values (integers or truth values)."""
    zeros = torch.zeros(n_rows, dtype=torch.int64, device=owners.device)
    return zeros.index_add_(0, owners, values.long())


class RaggedRows:
    """A binary matrix on a device, read some rows at a time.

    Args:
        matrix: The matrix.
        device: Where to read it.
    """

    def __init__(self, matrix: Matrix, device: torch.device) -> None:
        self._indptr = as_tensor(matrix.indptr, device).long()
        self._indices = as_tensor(matrix.indices, device)

    def read(self, rows: Int64[Tensor, "b"]) -> tuple[Int64[Tensor, "m"], Int64[Tensor, "m"]]:
        """Return the entries of some rows: each entry's position in `rows`, and its column."""
        owners, places = expand(self._indptr[rows], self._indptr[rows + 1])
        return owners, self._indices[places].long()
