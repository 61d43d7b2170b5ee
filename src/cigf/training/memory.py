"""Memory that a training step frees stays with the process for the next step."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Names of mallopt's parameters (malloc.h)."""

_NEVER, _ANY_NUMBER = 0, 65536
"""Chunks that are mapped on their own: none, or glibc's default."""

_ALL, _DEFAULT_TRIM = -1, 128 * 1024
"""Free bytes at the heap's end that stay there; -1 is read as the largest number."""


@contextmanager
def kept_memory() -> Iterator[None]:
    """Let the C library keep what is freed inside the block, and return it to the system after.

    Every step frees and asks again for the same tensors, of megabytes to gigabytes. By default
    glibc maps each of them anew, and each page comes back, cleared, by a page fault: thousands per
    step of a small graph, half a million of a large one, where they took a third of the time. Other
    C libraries take no notice.
    """
    library = _c_library()
    if not hasattr(library, "mallopt") or not hasattr(library, "malloc_trim"):
        yield
        return
    library.mallopt(_MMAP_MAX, _NEVER)
    library.mallopt(_TRIM_THRESHOLD, _ALL)
    try:
        yield
    finally:
        library.mallopt(_MMAP_MAX, _ANY_NUMBER)
        library.mallopt(_TRIM_THRESHOLD, _DEFAULT_TRIM)
        library.malloc_trim(0)


def _c_library() -> Any:
    """Return this process' own C library; None on Windows, where that has no name."""
    try:
        return ctypes.CDLL(None)
    except TypeError:
        return None
