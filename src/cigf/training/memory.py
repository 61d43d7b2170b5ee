"""Memory that a training step frees stays with the process for the next step."""

import torch

_LARGEST_CHUNK = (1 << 25) - (1 << 16)
"""A little below the largest chunk that glibc's bounds follow: 32 MiB."""


def keep_freed_memory() -> None:
    """Let the C library keep what is freed instead of returning it to the system.

    Every step frees and asks again for the same tensors of several megabytes. By default glibc
    returns them, and each page comes back, cleared, by a page fault: thousands per step. Freeing
    one large chunk raises the sizes from which it does so (mallopt(3), M_MMAP_THRESHOLD) to 32 MiB
    per chunk and 64 MiB at the heap's end. Other C libraries take no notice.
    """
    torch.empty(_LARGEST_CHUNK, dtype=torch.uint8)
