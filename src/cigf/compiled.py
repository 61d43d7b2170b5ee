"""Compiled loops: the one door to numba, which is optional, and the threads that run them.

Kernels are plain functions over arrays that work on one part of their rows; they hold no lock of
Python's while they run, so the parts of one call run side by side in threads of this module. Those
take the next part when they are done with one: a core that others keep busy does fewer of them.
"""

import inspect
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from threading import Lock
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])

_FREE_ORDER = {"reassoc", "contract"}
"""Sums over a row's coordinates may be taken in any order, which vector registers need."""

_PARTS_PER_THREAD = 4

_LEAST_WORK = 20_000
"""Additions of rows below which a second thread costs more than it brings."""


class _State:
    """Whether kernels are wanted, and the threads; one per process."""

    def __init__(self) -> None:
        self.wanted = True
        self.threads: int | None = None
        self.pool: ThreadPoolExecutor | None = None
        self.size = 0
        self.lock = Lock()


_state = _State()


@cache
def installed() -> bool:
    """Whether numba is installed."""
    return find_spec("numba") is not None


def usable(*tensors: torch.Tensor) -> bool:
    """Whether kernels are installed, wanted, and made for these tensors: float32 on the CPU."""
    fit = all(each.dtype == torch.float32 and each.device.type == "cpu" for each in tensors)
    return fit and _state.wanted and installed()


@cache
def lacking_for_gpu() -> str:
    """Tell why no kernel can be compiled for the GPU that is here; "" where it can.

    PyTorch for CUDA brings Triton on Linux, and Triton asks for a C compiler.
    """
    if find_spec("triton") is None:
        return "Triton is not installed"
    try:
        gpu_kernel(_nothing)[(1,)](torch.zeros(1, device="cuda"), enable_fp_fusion=True)
    except Exception as error:  # whatever may be missing on a machine
        reason = str(error).strip().splitlines() or [type(error).__name__]
        return f"Triton cannot compile here: {reason[0]}"
    return ""


def _nothing(x: "torch.Tensor") -> None:
    pass


def usable_on_gpu(*tensors: torch.Tensor) -> bool:
    """Whether kernels for a GPU can be compiled, are wanted, and are made for these tensors."""
    fit = all(each.dtype == torch.float32 and each.is_cuda for each in tensors)
    return fit and _state.wanted and not lacking_for_gpu()


@contextmanager
def switched(*, on: bool) -> Iterator[None]:
    """Use compiled kernels or torch's own operations inside the block: to compare the two."""
    before, _state.wanted = _state.wanted, on
    try:
        yield
    finally:
        _state.wanted = before


@contextmanager
def threads_for_kernels() -> Iterator[None]:
    """Leave all threads to the kernels, none to torch's operations, where kernels are usable.

    What is left for torch beside the kernels are small operations, for which its threads are more
    hindrance than help: they spin for milliseconds after each, on the cores that kernels need.
    """
    before = torch.get_num_threads()
    if not usable() or _state.threads is not None:
        yield
        return
    _state.threads = before
    torch.set_num_threads(1)
    try:
        yield
    finally:
        _state.threads = None
        torch.set_num_threads(before)


def n_threads() -> int:
    """Number of threads that run a kernel's parts: as many as torch has, or had."""
    return _state.threads or torch.get_num_threads()


def kernel(function: Function) -> Function:
    """Compile a function when it is first called; the machine code is kept for later processes.

    Where no folder can be written to, neither beside the code nor in the user's own cache, it is
    not kept, and each process compiles anew.
    """
    try:
        return _compiled(function, nogil=True, cache=True)
    except RuntimeError:
        return _compiled(function, nogil=True)


def gpu_kernel(function: Callable[..., Any]) -> Any:
    """Compile a function for a GPU when it is first called. Needs triton."""
    import triton

    return triton.jit(inspect.unwrap(function))


def inlined(function: Function) -> Function:
    """Compile a function into the kernels that call it: a call costs as much as adding rows."""
    return _compiled(function, forceinline=True)


def _compiled(function: Function, **options: Any) -> Function:
    import numba

    # Unwrapped, because checks of argument types may have been wrapped around it.
    compiled = numba.njit(error_model="numpy", fastmath=_FREE_ORDER, **options)
    made: Function = compiled(inspect.unwrap(function))
    return made


def split(work: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cut rows into parts of about the same work.

    Args:
        work: What each row costs, shape (rows,).

    Returns:
        Borders of the parts, shape (parts + 1,): from 0 to the number of rows.
    """
    total = int(work.sum())
    parts = _n_parts(total)
    inner = np.searchsorted(np.cumsum(work), np.arange(1, parts) * (total / parts), side="right")
    return np.concatenate([[0], inner, [len(work)]]).astype(np.int64)


def split_evenly(n_rows: int, work: int = 1) -> NDArray[np.int64]:
    """Cut rows that cost the same into parts: as `split` does, without an array of their costs."""
    parts = _n_parts(n_rows * work)
    return np.arange(parts + 1) * n_rows // parts


def _n_parts(work: int) -> int:
    threads = n_threads()
    return threads * _PARTS_PER_THREAD if threads > 1 and work > _LEAST_WORK else 1


def arrays(*tensors: torch.Tensor) -> tuple[Any, ...]:
    """Return what kernels are given: the tensors' memory as NumPy arrays."""
    return tuple(tensor.detach().numpy() for tensor in tensors)


def run(function: Callable[..., Any], borders: NDArray[np.int64], *arguments: Any) -> None:
    """Run a kernel on all parts; its last arguments are the first and the last row of a part."""
    parts = iter(zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True))
    helpers = min(n_threads(), len(borders) - 1) - 1
    futures = [_pool(helpers).submit(_work, function, arguments, parts) for _ in range(helpers)]
    try:
        _work(function, arguments, parts)
    finally:
        for future in futures:
            future.result()


def _work(
    function: Callable[..., Any], arguments: tuple[Any, ...], parts: Iterator[tuple[int, int]]
) -> None:
    """Take parts that all threads share until none is left."""
    for first, last in parts:
        function(*arguments, first, last)


def _pool(helpers: int) -> ThreadPoolExecutor:
    with _state.lock:
        if _state.pool is None or _state.size < helpers:
            _state.pool = ThreadPoolExecutor(helpers, "cigf-kernel")
            _state.size = helpers
        return _state.pool


def _forget_threads() -> None:
    _state.pool, _state.lock = None, Lock()


if hasattr(os, "register_at_fork"):  # a forked process has none of its parent's threads
    os.register_at_fork(after_in_child=_forget_threads)
