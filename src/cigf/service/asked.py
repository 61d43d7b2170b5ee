"""What callers ask a service for; ids are text."""

from dataclasses import dataclass, field

from cigf.data.tasks import Group
from cigf.service.event_store import Done


@dataclass(frozen=True)
class ListOptions:
    """What a list should be.

    Args:
        k: Its length; it is shorter where fewer items are eligible.
        only: Items the user has touched under another behavior, others, or all.
        behavior: What to predict; None: the target.
        exclude: Behaviors whose items are left out; None: `behavior` alone.
        allow: Items that may be recommended; None: all.
        deny: Items that may not; None: none.
        scores: Behaviors whose scores of the listed items are added.
    """

    k: int = 10
    only: Group = "all"
    behavior: str | None = None
    exclude: tuple[str, ...] | None = None
    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] | None = None
    scores: tuple[str, ...] = ()


@dataclass(frozen=True)
class ListRequest:
    """Some users' lists.

    Args:
        users: External ids; None for a session without one.
        options: What each list should be.
        done: What every one of them just did, beside what is in the event log.
        model: Which model; None: the first.
    """

    users: tuple[str | None, ...]
    options: ListOptions = ListOptions()
    done: Done = field(default_factory=dict)
    model: str | None = None
