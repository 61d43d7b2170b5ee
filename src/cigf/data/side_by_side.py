"""Work that goes on in threads while the next piece of it is being fetched."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

N_THREADS = 2
"""Pieces worked on at a time, which also bounds what they take in memory."""


def side_by_side(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield the results of some items in their order.

    The items are fetched in this thread, one after the other, so what they draw or count is in
    order; no more than a few are held at a time.

    Args:
        work: What is done with an item; it should spend its time outside of Python.
        items: The items.
    """
    pool = ThreadPoolExecutor(N_THREADS)
    begun: deque[Future[Result]] = deque()
    try:
        for item in items:
            begun.append(pool.submit(work, item))
            if len(begun) > N_THREADS:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
