"""Parts cover all rows once, evenly, in several threads; the switch and its limits."""

import threading

import numpy as np
import pytest
import torch

from cigf import compiled
from cigf.compiled import n_threads, run, split, split_evenly, switched, threads_for_kernels, usable


@pytest.fixture
def four_threads(monkeypatch):
    monkeypatch.setattr(compiled._state, "threads", 4)


def test_parts_have_about_the_same_work(four_threads):
    work = np.random.default_rng(0).integers(0, 1000, 5003)
    borders = split(work)
    assert len(borders) == 1 + 4 * 4
    assert borders[0] == 0
    assert borders[-1] == 5003
    sums = np.add.reduceat(work, borders[:-1])
    assert sums.sum() == work.sum()
    assert np.abs(sums - work.sum() / 16).max() <= 1000


def test_one_heavy_row_leaves_the_other_parts_empty(four_threads):
    borders = split(np.array([0, 10**9, 1]))
    assert (np.diff(borders) >= 0).all()
    assert (borders[0], borders[-1]) == (0, 3)


def test_little_work_is_one_part(four_threads):
    assert split(np.ones(100, np.int64)).tolist() == [0, 100]
    assert split(np.empty(0, np.int64)).tolist() == [0, 0]


def test_even_parts(four_threads):
    assert split_evenly(100).tolist() == [0, 100]
    assert split_evenly(0).tolist() == [0, 0]
    borders = split_evenly(10_007, 3)
    assert (borders[0], borders[-1], len(borders)) == (0, 10_007, 17)
    assert set(np.diff(borders)) == {625, 626}


def test_every_row_is_visited_once_and_by_several_threads(four_threads):
    seen, threads = np.zeros(100, np.int64), set()
    together = threading.Barrier(4, timeout=60)

    def visit(seen, first, last):
        if threading.get_ident() not in threads:
            threads.add(threading.get_ident())
            together.wait()
        seen[first:last] += 1

    run(visit, np.array([0, 7, 7, 20, 50, 51, 90, 100]), seen)
    assert (seen == 1).all()
    assert len(threads) == 4


def test_an_error_in_any_part_is_raised(four_threads):
    def fail(first, last):
        if first == 40:
            raise ValueError("row 40")

    with pytest.raises(ValueError, match="row 40"):
        run(fail, np.arange(0, 110, 10))


def test_kernels_can_be_switched_off_and_are_for_float32_on_the_cpu(monkeypatch):
    x = torch.zeros(2)
    assert usable(x)
    assert not usable(x, x.double())
    assert not usable(x.to("meta"))
    with switched(on=False):
        assert not usable(x)
    assert usable(x)
    monkeypatch.setattr(compiled, "installed", lambda: False)
    assert not usable(x)


def test_torch_has_one_thread_while_kernels_have_all():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with threads_for_kernels():
            assert (torch.get_num_threads(), n_threads()) == (1, 3)
            with threads_for_kernels():
                assert n_threads() == 3
        assert (torch.get_num_threads(), n_threads()) == (3, 3)
        with switched(on=False), threads_for_kernels():
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_forked_process_makes_threads_of_its_own(four_threads):
    run(lambda first, last: None, np.arange(9))
    assert compiled._state.pool is not None
    compiled._forget_threads()
    seen = []
    run(lambda first, last: seen.append(first), np.arange(9))
    assert sorted(seen) == list(range(8))


def test_without_a_folder_for_machine_code_it_is_not_kept(monkeypatch):
    numba = pytest.importorskip("numba")
    asked, njit = [], numba.njit

    def without_folder(*functions, **options):  # numba itself uses it too
        if "nogil" not in options:
            return njit(*functions, **options)
        asked.append(options.pop("cache", False))
        if asked[-1]:
            raise RuntimeError("cannot cache function 'double': no locator available")
        return njit(*functions, **options)

    def double(x):
        return x + x

    monkeypatch.setattr(numba, "njit", without_folder)
    assert compiled.kernel(double)(np.float32(1.5)) == 3.0
    assert asked == [True, False]


@pytest.fixture
def a_gpu(monkeypatch):
    """What is asked for on a GPU is made on the CPU."""
    zeros = torch.zeros
    monkeypatch.setattr(torch, "zeros", lambda *shape, device: zeros(*shape))


def test_kernels_for_a_gpu_can_be_compiled_where_triton_can(a_gpu):
    pytest.importorskip("triton")
    assert compiled.lacking_for_gpu.__wrapped__() == ""  # the interpreter takes it, too


def test_without_triton_there_are_no_kernels_for_a_gpu(monkeypatch):
    monkeypatch.setattr(compiled, "find_spec", lambda name: None)
    assert compiled.lacking_for_gpu.__wrapped__() == "Triton is not installed"


def test_without_a_compiler_there_are_none_either(a_gpu, monkeypatch):
    """Triton brings none of its own; then PyTorch's operations do."""

    class Broken:
        def __getitem__(self, grid):
            raise RuntimeError("Failed to find C compiler.\nSet CC.")

    monkeypatch.setattr(compiled, "find_spec", lambda name: "there")
    monkeypatch.setattr(compiled, "gpu_kernel", lambda function: Broken())
    assert compiled.lacking_for_gpu.__wrapped__().endswith("here: Failed to find C compiler.")
    monkeypatch.setattr(compiled, "lacking_for_gpu", compiled.lacking_for_gpu.__wrapped__)
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    assert not compiled.usable_on_gpu(torch.ones(2))
