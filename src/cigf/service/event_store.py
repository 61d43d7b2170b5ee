"""What users have done since the models were trained, in memory."""

from collections import OrderedDict
from itertools import islice
from threading import Lock

from cigf.service.event_log import Event

Done = dict[str, tuple[str, ...]]
"""Items by behavior, in the order in which they were posted; all ids are text."""

_Events = dict[tuple[str, str], None]
"""Behavior and item of each of a user's events, the oldest first."""


class EventStore:
    """Posted events by user, each once; the users who were silent longest are forgotten first.

    Of the last user the oldest events are forgotten, many at a time: it may hold an eighth more.

    Args:
        capacity: Most events held.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lock = Lock()
        self._users: OrderedDict[str, _Events] = OrderedDict()
        self._done: dict[str, Done] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, event: Event) -> None:
        """Remember an event."""
        with self._lock:
            events = self._users.setdefault(event.user, {})
            self._users.move_to_end(event.user)
            before = len(events)
            events[event.behavior, event.item] = None
            if len(events) == before:
                return
            self._done.pop(event.user, None)
            self._count += 1
            while self._count > self._capacity and len(self._users) > 1:
                self._forget_user()
            if self._count > self._capacity + self._capacity // 8 + 1:
                self._forget_oldest(event.user)

    def of(self, user: str) -> Done:
        """Return what a user did, the same object until she does more; nothing if none is known."""
        with self._lock:
            events = self._users.get(user)
            if events is None:
                return {}
            done = self._done.get(user)
            if done is None:
                done = self._done[user] = _by_behavior(events)
            return done

    def _forget_user(self) -> None:
        user, events = self._users.popitem(last=False)
        self._done.pop(user, None)
        self._count -= len(events)

    def _forget_oldest(self, user: str) -> None:
        events = self._users[user]
        # A dictionary anew: one that loses its first entry again and again gets slow.
        self._users[user] = dict.fromkeys(islice(events, len(events) - self._capacity, None))
        self._count = self._capacity


def _by_behavior(events: _Events) -> Done:
    items: dict[str, list[str]] = {}
    for behavior, item in events:
        items.setdefault(behavior, []).append(item)
    return {behavior: tuple(each) for behavior, each in items.items()}
