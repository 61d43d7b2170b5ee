"""Options of a server, and the tokens that it asks for."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from cigf.config import Config

TOKEN = "CIGF_TOKEN"
"""Environment variable of the token that callers must send."""

ADMIN_TOKEN = "CIGF_ADMIN_TOKEN"
"""Environment variable of the token for reloading; without it nobody may."""


class Limits(Config):
    """What one server takes on."""

    max_body: PositiveInt = 1 << 20
    """Most bytes of a request's body."""
    max_users: PositiveInt = 256
    """Most users in one request."""
    max_events: PositiveInt = 1000
    """Most events in one request."""
    max_k: PositiveInt = 100
    """Longest list."""
    max_items: PositiveInt = 10_000
    """Most items in one request's allow or deny list."""
    max_concurrency: PositiveInt = 128
    """Most requests at the same time; more are refused."""
    max_users_at_once: PositiveInt = 32
    """Most users scored in one product."""
    timeout: PositiveFloat = 10.0
    """Seconds within which a request is read and answered, except a reload."""
    keep_alive: PositiveInt = 30
    """Seconds after which a connection is closed on which no whole header came."""
    shutdown: NonNegativeInt = 10
    """Seconds that requests in flight get when the server is told to stop."""
    remembered_events: PositiveInt = 1_000_000
    """Most posted events in memory; beyond, those of who was silent longest, then the oldest."""


@dataclass(frozen=True)
class Tokens:
    """Who may call; never part of a message or log.

    Args:
        user: The token of all calls but those to health; None asks for none.
        admin: The token of admin calls; None refuses them all.
    """

    user: str | None = field(default=None, repr=False)
    admin: str | None = field(default=None, repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Tokens":
        """Take the tokens from environment variables; an empty one is none."""
        return cls(environment.get(TOKEN) or None, environment.get(ADMIN_TOKEN) or None)
