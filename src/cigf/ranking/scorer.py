"""What ranking asks of a model: scores of users against the whole catalog."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from cigf.errors import ConfigError

SCORES_PER_BLOCK = {"cpu": 3 << 19, "cuda": 1 << 26}
"""About how many scores a block holds: on a CPU few megabytes, but users enough that what is done
once for a block takes little of its time."""


class Scorer(ABC):
    """Scores of every user with every item; higher is better."""

    @property
    @abstractmethod
    def n_users(self) -> int:
        """U."""

    @property
    @abstractmethod
    def n_items(self) -> int:
        """I."""

    @property
    def device(self) -> torch.device:
        """Where the scores are computed."""
        return torch.device("cpu")

    @abstractmethod
    def block(self, users: Int64[Tensor, "b"]) -> Float[Tensor, "b I"]:
        """Return the scores of some users with all items, in memory the caller may change."""

    @abstractmethod
    def pairs(self, users: Int64[Tensor, "n"], items: Int64[Tensor, "n"]) -> Float[Tensor, "n"]:
        """Return the scores of single pairs."""

    def with_users(self, other: "Scorer") -> "Scorer":
        """Return a scorer of another one's users with this one's items.

        Args:
            other: A scorer of the same kind, from the same model and for the same task.

        Raises:
            ConfigError: This kind cannot.
        """
        raise ConfigError(
            f"{type(self).__name__} cannot score users it was not made for; "
            "recommend to known users, or train a model that can, such as cigf"
        )

    def blocks(
        self, users: Int64[Tensor, "n"], block_size: int | None = None
    ) -> Iterator[Float[Tensor, "b I"]]:
        """Yield the scores of consecutive blocks of users.

        The caller may change a block, and must be done with it when it asks for the next:
        a scorer may use its memory again. Several threads may be served at the same time.

        Args:
            users: The users, in the order of the rows.
            block_size: Users per block; None chooses.
        """
        size = block_size or default_block_size(self.n_items, self.device)
        for start in range(0, len(users), size):
            yield self.block(users[start : start + size])


def default_block_size(n_items: int, device: torch.device) -> int:
    """Return how many users to score at once."""
    # A product of very few rows reads the item factors too often, so a block has at least 32.
    return max(32, min(4096, SCORES_PER_BLOCK.get(device.type, 1 << 26) // max(n_items, 1)))
