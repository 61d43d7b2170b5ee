"""Sums of a table's rows in compiled kernels, against SciPy's sparse product."""

import ctypes
import mmap
import sys

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array, random_array

from cigf.graph import halves, kernels
from cigf.graph.cpu_sums import gather_total
from cigf.graph.gather_sum import Edges
from cigf.graph.stack import Bundle, Stack

ROWS = 300
SMALL = 1000
"""Columns of a table that caches hold."""


def columns_beyond_caches(width, itemsize):
    return kernels._NEAR // (itemsize * width) + 1


def edges_to(n_columns):
    """Some rows with a few edges, one with none, and one with many."""
    rng = np.random.default_rng(n_columns)
    matrix = random_array((ROWS, n_columns), density=6000 / (ROWS * n_columns), rng=rng).tolil()
    matrix[7] = 0
    matrix[11, rng.choice(n_columns, 700, replace=False)] = 1
    matrix = csr_array(matrix)
    matrix.data[:] = 1
    return matrix


@pytest.mark.parametrize("in_halves", [False, True])
@pytest.mark.parametrize("width", [8, 16, 40, 64, 112])
@pytest.mark.parametrize("size", ["near", "far"])
def test_sums_are_those_of_a_sparse_product(size, width, in_halves):
    n_columns = SMALL if size == "near" else columns_beyond_caches(width, 2 if in_halves else 4)
    matrix = edges_to(n_columns)
    table = torch.randn(n_columns, width)
    scale = torch.rand(ROWS, 1)
    given, factor = halves.rounded(table[None]) if in_halves else (table[None], 1.0)
    offsets, indices = (torch.from_numpy(part) for part in (matrix.indptr, matrix.indices))
    stack = Bundle([Edges(offsets, indices, n_columns)]).stack
    found = gather_total(stack, given, scale / factor)
    expected = torch.from_numpy(scale.numpy() * (matrix @ table.numpy())).float()
    off = 2e-3 if in_halves else 1e-5
    torch.testing.assert_close(found, expected, rtol=off, atol=off * float(expected.abs().max()))


@pytest.mark.skipif(sys.platform != "linux", reason="forbids a page by mprotect")
@pytest.mark.parametrize("width", [16, 64])
def test_no_edge_behind_the_last_is_looked_at(width):
    n_edges = 200
    page = mmap.mmap(-1, 2 * mmap.PAGESIZE)
    memory = np.frombuffer(page, np.int32)
    behind = ctypes.c_void_p(memory.ctypes.data + mmap.PAGESIZE)
    assert ctypes.CDLL(None).mprotect(behind, mmap.PAGESIZE, 0) == 0  # reading there is fatal
    end = mmap.PAGESIZE // memory.itemsize
    indices = memory[end - n_edges : end]
    indices[:] = np.arange(n_edges)
    stack = Stack(np.array([[0, 150]]), np.array([[150, n_edges]]), indices)
    table = torch.randn(1, SMALL, width)
    found = gather_total(stack, table, torch.ones(2, 1))
    expected = torch.stack([table[0, :150].sum(0), table[0, 150:n_edges].sum(0)])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
