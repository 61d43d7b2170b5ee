"""Recent: what was computed of the users who asked last, until they do something more."""

from collections import OrderedDict
from threading import Lock
from typing import Generic, TypeVar

from cigf.service.event_store import Done

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Values by user; each is right as long as the user's events are the same object.

    Args:
        capacity: Most users; who did not ask for the longest time is forgotten.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lock = Lock()
        self._values: OrderedDict[str, tuple[Done, Value]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, user: str, done: Done) -> Value | None:
        """Return what was made of exactly these events, if it was."""
        with self._lock:
            before, value = self._values.get(user, (None, None))
            if before is not done:
                return None
            self._values.move_to_end(user)
            return value

    def put(self, user: str, done: Done, value: Value) -> None:
        """Remember what was made of a user's events."""
        with self._lock:
            self._values[user] = (done, value)
            self._values.move_to_end(user)
            while len(self._values) > self._capacity:
                self._values.popitem(last=False)
