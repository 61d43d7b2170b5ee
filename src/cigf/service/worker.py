"""Worker: one thread that computes lists; requests that wait together are scored together."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, Full, Queue
from threading import Thread
from typing import Generic, TypeVar

from cigf.errors import OverloadedError, StoppingError

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class _Waiting(Generic[Job, Result]):
    job: Job
    size: int
    future: "Future[Result]" = field(default_factory=Future)


class Worker(Generic[Job, Result]):
    """Works on what has gathered while it was busy; an idle one begins at once.

    Args:
        work: Does several jobs; returns their results, or the exception of each that failed.
        capacity: Most jobs that wait.
        most: Most of what `size` counts that is worked on at once.
        name: Of the thread.
    """

    def __init__(
        self,
        work: Callable[[list[Job]], list[Result | Exception]],
        capacity: int,
        most: int,
        name: str,
    ) -> None:
        self._work = work
        self._most = most
        self._is_closed = False
        self._queue: Queue[_Waiting[Job, Result] | None] = Queue(capacity)
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return self._queue.qsize()

    def submit(self, job: Job, size: int = 1) -> "Future[Result]":
        """Add a job.

        Raises:
            OverloadedError: Too many wait.
            StoppingError: The worker was closed.
        """
        if self._is_closed:
            raise StoppingError("the server is stopping; ask another one, or again in a while")
        waiting: _Waiting[Job, Result] = _Waiting(job, size)
        try:
            self._queue.put_nowait(waiting)
        except Full:
            raise OverloadedError("too many requests are waiting; try again in a second") from None
        return waiting.future

    def close(self) -> None:
        """Do what waits, then end."""
        self._is_closed = True
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while self._take_turn():
            pass

    def _take_turn(self) -> bool:
        # A function of its own, so that a thread that waits holds no job, and no model with it.
        first = self._queue.get()
        if first is None:
            return False
        gathered, ends = self._gather(first)
        self._do(gathered)
        return not ends

    def _gather(self, first: _Waiting[Job, Result]) -> tuple[list[_Waiting[Job, Result]], bool]:
        gathered, size = [first], first.size
        while size < self._most:
            try:
                more = self._queue.get_nowait()
            except Empty:
                break
            if more is None:
                return gathered, True
            gathered.append(more)
            size += more.size
        return gathered, False

    def _do(self, gathered: list[_Waiting[Job, Result]]) -> None:
        # A caller that gave up is not worked for.
        live = [each for each in gathered if each.future.set_running_or_notify_cancel()]
        try:
            results = self._work([each.job for each in live]) if live else []
        except Exception as error:  # of the work itself: every caller is told
            results = [error] * len(live)
        for each, result in zip(live, results, strict=True):
            if isinstance(result, Exception):
                each.future.set_exception(result)
            else:
                each.future.set_result(result)
