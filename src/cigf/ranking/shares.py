"""Work on many users in shares, one processor each."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

SHARES_PER_THREAD = 4
SMALLEST_SHARE = 64

Part = TypeVar("Part")


def in_shares(work: Callable[[slice], Part], n_rows: int, device: torch.device) -> list[Part]:
    """Do some work on slices of 0..n_rows-1, and return the results in order.

    On a CPU each slice is worked on by one thread alone. Torch would rather split every small
    operation among all threads, which then wait for each other thousands of times; that is
    slower, and by far so on a machine that has other work too.

    Args:
        work: Called with each slice, possibly at the same time as with others.
        n_rows: What to share out; 0 gives one empty slice.
        device: Where the work is done; other devices than a CPU get one share.
    """
    n_threads = torch.get_num_threads() if device.type == "cpu" else 1
    n_shares = min(n_threads * SHARES_PER_THREAD, n_rows // SMALLEST_SHARE)
    if n_threads == 1 or n_shares < 2:
        return [work(slice(0, n_rows))]
    bounds = [n_rows * number // n_shares for number in range(n_shares + 1)]
    slices = map(slice, bounds[:-1], bounds[1:])
    try:
        with ThreadPoolExecutor(
            n_threads, initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            return list(pool.map(work, slices))
    finally:
        # Part of that setting (the matrix library's) is not the thread's alone.
        torch.set_num_threads(n_threads)
