"""Pieces of flat arrays beside NumPy's slices, for lengths around those of vector registers."""

import numpy as np
import pytest

pytest.importorskip("numba")

from cigf.compiled import kernel
from cigf.short_vectors import add_piece, dot_pieces, set_piece

SIZES = [*range(19), 23, 24, 25, 31, 32, 33, 40, 47, 48, 64, 100]


@kernel
def _add(out, at, factor, source, place, size):
    add_piece(out, at, factor, source, place, size)


@kernel
def _set(out, at, factor, source, place, size):
    set_piece(out, at, factor, source, place, size)


@kernel
def _dot(x, at, y, place, size):
    return dot_pieces(x, at, y, place, size)


@pytest.fixture
def pair():
    generator = np.random.default_rng(3)
    return generator.standard_normal((2, 128)).astype(np.float32)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("at", "place"), [(0, 0), (5, 3), (128, 128)])
def test_a_piece_is_set_or_added_and_nothing_beside_it(pair, size, at, place):
    out, source = pair
    at, place = (min(each, 128 - size) for each in (at, place))  # also the very last numbers
    piece = source[place : place + size]
    for function, expected in ((_set, np.zeros(size)), (_add, out[at : at + size])):
        given, wanted = out.copy(), out.copy()
        wanted[at : at + size] = expected + np.float32(-1.5) * piece
        function(given, at, np.float32(-1.5), source, place, size)
        np.testing.assert_allclose(given, wanted, rtol=1e-6, atol=1e-7)
        before, after = slice(0, at), slice(at + size, None)
        assert (given[before] == out[before]).all()
        assert (given[after] == out[after]).all()


@pytest.mark.parametrize("size", SIZES)
def test_inner_products_are_numpys(pair, size):
    x, y = pair
    for at, place in ((0, 0), (7, 2), (128 - size, 128 - size)):
        expected = np.dot(
            x[at : at + size].astype(np.float64), y[place : place + size].astype(np.float64)
        )
        assert _dot(x, at, y, place, size) == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("size", [3, 8, 16, 27])
def test_what_is_no_number_stays_so(pair, value, size):
    x, y = pair.copy()
    x[size - 1] = value
    assert not np.isfinite(_dot(x, 0, y, 0, size))
    out = np.zeros(size, np.float32)
    _add(out, 0, np.float32(1.0), x, 0, size)
    assert not np.isfinite(out[-1])
    assert np.isfinite(out[:-1]).all()


def test_a_piece_may_be_multiplied_in_its_place(pair):
    x = pair[0].copy()
    _set(x, 3, np.float32(2.0), x, 3, 21)
    np.testing.assert_array_equal(x[3:24], 2 * pair[0, 3:24])
    np.testing.assert_array_equal(x[24:], pair[0, 24:])
