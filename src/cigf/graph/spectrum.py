"""Spectrum: where items stand among each other by who touched them, from one decomposition.

Axes: U users, I items, C coordinates.
"""

import numpy as np
from jaxtyping import Float32, Float64
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

_DENSE = 64
"""Matrices with no more rows or columns are decomposed whole."""

_VANISHED = 1e-5
"""Share of the largest singular value below which a direction is rounding error."""


def item_coordinates(matrix: csr_array, n_coordinates: int) -> Float32[np.ndarray, "I C"]:
    """Return the leading right singular vectors of D_u^-1/2 Y D_i^-1/2, each times sqrt(sigma).

    LightGCN's propagation without end keeps the same directions and nothing else. A coordinate's
    third moment is positive, so that names of users and items do not decide its sign; directions
    that the matrix does not have are 0.

    Args:
        matrix: How much each user has to do with each item, (U, I), not negative.
        n_coordinates: C.
    """
    n = min(n_coordinates, *matrix.shape)
    found = np.zeros((matrix.shape[1], n_coordinates), dtype=np.float32)
    if not n or not matrix.nnz:
        return found
    values, vectors = _leading(_normalized(matrix), n)
    coordinates = vectors * np.sqrt(values) * (values > _VANISHED * values[0])
    signs = np.where((coordinates**3).sum(axis=0) < 0, -1.0, 1.0)
    found[:, :n] = coordinates * signs
    return found


def _normalized(matrix: csr_array) -> csr_array:
    scales = []
    for axis in (1, 0):
        sums = np.asarray(matrix.sum(axis=axis), dtype=np.float64).ravel()
        scales.append(diags_array(np.where(sums > 0, sums, 1.0) ** -0.5))
    return csr_array(scales[0] @ matrix.astype(np.float64) @ scales[1])


def _leading(
    matrix: csr_array, n: int
) -> tuple[Float64[np.ndarray, "C"], Float64[np.ndarray, "I C"]]:
    """Return the n largest singular values, descending, and their right vectors."""
    if min(matrix.shape) <= max(_DENSE, n):
        _, values, vectors = np.linalg.svd(matrix.toarray(), full_matrices=False)
        return values[:n], vectors[:n].T
    # It takes long to import, and few models and no small matrix need it.
    from scipy.sparse.linalg import svds

    # The start depends on the degrees alone: not on names, and not on chance.
    start: NDArray[np.float64] = np.log1p(np.diff(matrix.tocsc().indptr)) + 1.0
    if matrix.shape[0] <= matrix.shape[1]:
        start = np.log1p(np.diff(matrix.indptr)) + 1.0
    _, values, vectors = svds(matrix, k=n, v0=start)
    order = np.argsort(-values)
    return values[order], vectors[order].T
