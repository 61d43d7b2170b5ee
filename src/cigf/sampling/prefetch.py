"""Prepare the next batches while the current one computes."""

import os
from collections.abc import Generator, Iterator
from queue import Full, Queue
from threading import Event, Thread
from typing import TypeVar

import torch

from cigf.compiled import n_threads

Element = TypeVar("Element")

_END = object()


def prefetch(source: Iterator[Element], depth: int = 4) -> Generator[Element, None, None]:
    """Iterate over `source` in a thread of its own, up to `depth` elements ahead.

    The order and the elements are those of `source`; its exceptions are raised here. Closing the
    returned iterator (or leaving its loop) ends the thread.
    """
    queue: Queue[object] = Queue(maxsize=depth)
    stopped = Event()

    def put(element: object) -> None:
        while not stopped.is_set():
            try:
                queue.put(element, timeout=0.1)
                return
            except Full:
                continue

    def work() -> None:
        try:
            for element in source:
                put(element)
                if stopped.is_set():
                    return
            put(_END)
        except BaseException as error:
            put(_Failure(error))

    thread = Thread(target=work, name="cigf-prefetch", daemon=True)
    thread.start()
    try:
        while (element := queue.get()) is not _END:
            if isinstance(element, _Failure):
                raise element.error
            yield element  # type: ignore[misc]  # only elements of source are left
    finally:
        stopped.set()
        thread.join()


def ahead(
    source: Generator[Element, None, None], device: torch.device
) -> Generator[Element, None, None]:
    """Prefetch where that pays: on a GPU, or where a core is free beside those of the training.

    A sampler that shares a core with one of the training's threads holds all of them up, because
    they wait for each other after every operation: on 2 cores an epoch took 8 % longer with it.
    """
    free_core = (os.cpu_count() or 1) > n_threads()
    return prefetch(source) if free_core or device.type != "cpu" else source


class _Failure:
    def __init__(self, error: BaseException) -> None:
        self.error = error
