"""Prepare the next batches while the current one computes."""

from collections.abc import Generator, Iterator
from queue import Full, Queue
from threading import Event, Thread
from typing import TypeVar

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


class _Failure:
    def __init__(self, error: BaseException) -> None:
        self.error = error
