"""Scores of one behavior from factors, for a `QuickModel`; no torch."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cigf.inference.opened import Factors, Floats
from cigf.inference.quick import ItemFactors, UserFactors


@runtime_checkable
class HasFactors(Protocol):
    """A user represented by her events."""

    def factors(self, behavior: int) -> UserFactors:
        """Return her factors of a behavior."""
        ...


class FactorScores:
    """Scores from factors.

    Args:
        factors: The factors of the users of training and of the items.
        behavior: What they predict.
    """

    def __init__(self, factors: Factors, behavior: int) -> None:
        self._factors = factors
        self._behavior = behavior
        gates = factors.item_gates
        if gates is None and factors.user_gates is not None:
            gates = np.zeros(factors.items.shape[:2], np.float32)
        self._items = ItemFactors.build(factors.items, gates, factors.item_bias, factors.scale)

    def trained(self, row: int) -> UserFactors:
        """Return a user's factors."""
        return user_of(self._factors.users, self._factors.user_gates, row, self._items.is_gated)

    def folded(self, user: HasFactors) -> UserFactors:
        """Return the factors of a user represented by her events."""
        return user.factors(self._behavior)

    def score_some(self, user: UserFactors, items: NDArray[np.int64]) -> Floats:
        """Return a user's scores with some items."""
        return self._items.score_some(user, items)

    def score(self, users: Sequence[UserFactors]) -> Floats:
        """Multiply."""
        return self._items.score(users)


def user_of(vectors: Floats, gates: Floats | None, row: int, is_gated: bool) -> UserFactors:
    """Return a row as a user; without gates of her own she leaves the choice to the items'."""
    mine = None if gates is None else gates[row]
    if mine is None and is_gated:
        mine = np.zeros(vectors.shape[1], np.float32)
    return UserFactors(np.asarray(vectors[row], np.float32), mine)
