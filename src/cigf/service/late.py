"""Late: something that takes long to load, loaded in a thread of its own; who needs it waits."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock, Thread
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Late(Generic[Value]):
    """A value that is there later.

    Args:
        load: Makes it.
        name: Of the thread.
    """

    def __init__(self, load: Callable[[], Value], name: str) -> None:
        self._load = load
        self._name = name
        self._lock = Lock()
        self._future: Future[Value] | None = None

    @property
    def is_here(self) -> bool:
        """Whether nobody needs to wait any more."""
        return self._future is not None and self._future.done()

    def start(self) -> "Future[Value]":
        """Begin to load, if nobody has before."""
        with self._lock:
            if self._future is None:
                self._future = Future()
                Thread(target=self._run, args=(self._future,), name=self._name, daemon=True).start()
            return self._future

    def get(self, seconds: float | None = None) -> Value:
        """Return the value; raises whatever loading it raised.

        Args:
            seconds: How long to wait at most; None: as long as it takes.

        Raises:
            TimeoutError: It is not there by then.
        """
        return self.start().result(seconds)

    def _run(self, future: "Future[Value]") -> None:
        try:
            future.set_result(self._load())
        except BaseException as error:
            future.set_exception(error)
