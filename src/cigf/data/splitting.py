"""Split: what a model may learn from, and the pairs held out to judge it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cigf.data.dataset import Dataset, Matrix

Part = Literal["valid", "test"]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Held-out pairs of one behavior, to be found by ranking.

    Args:
        users: User of each pair, shape (n,), sorted; a user may have several pairs.
        items: Item of each pair, shape (n,).
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True, eq=False)
class Candidates:
    """The stored 1+99 candidates of some held-out pairs: what each one competes with.

    Args:
        all: Items without that behavior in the user's history, never the held-out item itself
            (nor another held-out item of the same user); shape (n, 99), -1 where there are fewer.
        group: Likewise, drawn only from the pair's own group: items the user has touched for a
            touched pair, items she has not touched for a new pair.
    """

    all: NDArray[np.int32]
    group: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Split:
    """A dataset cut into training, validation and test.

    Args:
        train: What training may see when epochs are selected on `valid`.
        withheld: Pairs kept from `train` that are known at test time: the validation pairs, and
            in a time split all other events of the validation window. One matrix per behavior.
        valid: Held-out pairs per behavior name; judged with `train` as history.
        test: Held-out pairs per behavior name; judged with `train` + `withheld` as history.
        candidates: Stored candidates by (part, behavior name, seed).
        description: How the split was made, for reports.
    """

    train: Dataset
    withheld: tuple[Matrix, ...]
    valid: Mapping[str, HeldOut]
    test: Mapping[str, HeldOut]
    candidates: Mapping[tuple[Part, str, int], Candidates] = field(default_factory=dict)
    description: str = ""

    def history(self, part: Part) -> Dataset:
        """Return what is known about the users when `part` is judged."""
        return self.train if part == "valid" else self.train.merged(self.withheld)
