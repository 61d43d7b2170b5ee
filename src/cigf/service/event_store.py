"""What users have done since the models were trained, in memory."""

from collections import OrderedDict

from cigf.service.event_log import Event

Done = dict[str, tuple[str, ...]]
"""Items by behavior, in the order in which they were posted; all ids are text."""


class EventStore:
    """Posted events by user, each once; the users who were silent longest are forgotten first.

    Args:
        capacity: Most events held.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._users: OrderedDict[str, dict[str, tuple[str, ...]]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, event: Event) -> None:
        """Remember an event."""
        done = self._users.setdefault(event.user, {})
        self._users.move_to_end(event.user)
        items = done.get(event.behavior, ())
        if event.item in items:
            return
        # A new dictionary and tuple, so that readers in other threads see old or new, not both.
        self._users[event.user] = {**done, event.behavior: (*items, event.item)}
        self._count += 1
        while self._count > self._capacity and len(self._users) > 1:
            self._forget_one()

    def of(self, user: str) -> Done:
        """Return what a user did; nothing where nothing is known."""
        return self._users.get(user, {})

    def _forget_one(self) -> None:
        _, done = self._users.popitem(last=False)
        self._count -= sum(map(len, done.values()))
