"""The ordered names of the behaviors; the last one is the target."""

from collections.abc import Iterator
from dataclasses import dataclass

from cigf.errors import DataError, did_you_mean


@dataclass(frozen=True)
class Behaviors:
    """Behavior names in funnel order, shallow to deep; the last is what we predict.

    Args:
        names: One name per behavior, all different.
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.names:
            raise DataError("behaviors: none given; name at least the target, such as buy")
        if not all(name.strip() for name in self.names):
            raise DataError(
                f"behaviors: an empty name among {', '.join(map(repr, self.names))}; remove it"
            )
        repeated = sorted({name for name in self.names if self.names.count(name) > 1})
        if repeated:
            raise DataError(f"behaviors: {', '.join(repeated)} given more than once")

    @property
    def target(self) -> int:
        """Index of the behavior to predict."""
        return len(self.names) - 1

    @property
    def target_name(self) -> str:
        """Name of the behavior to predict."""
        return self.names[-1]

    def index(self, name: str) -> int:
        """Return the index of a behavior.

        Raises:
            DataError: There is no such behavior; names the known ones and the closest.
        """
        if name not in self.names:
            raise DataError(
                f"behavior {name!r} is not in this dataset{did_you_mean(name, self.names)} "
                f"(behaviors: {', '.join(self.names)})"
            )
        return self.names.index(name)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)
