"""Giving memory back after a reload."""

import ctypes
import gc


def give_back() -> None:
    """Free what nobody uses any more, and let the system have it.

    A model that was replaced refers to itself, so it stays until the collector comes round, which
    takes many reloads; and the C library keeps freed memory in pieces that the next does not fit.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc; others give back themselves
    if trim is not None:
        trim(0)
