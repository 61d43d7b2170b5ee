"""Scores of one behavior for a `QuickModel`: factors in NumPy, or any scorer of torch."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from cigf.inference.artifact import Artifact
from cigf.inference.quick import Floats, ItemFactors, UserFactors
from cigf.inference.quick_model import Known, QuickModel, Scores
from cigf.ranking import ScoreFactors, Scorer


class FactorScores:
    """Scores from factors.

    Args:
        factors: The factors of the users of training and of the items.
    """

    def __init__(self, factors: ScoreFactors) -> None:
        self._factors = factors
        gates, bias = factors.item_gates, factors.item_bias
        if gates is None and factors.user_gates is not None:
            gates = torch.zeros(factors.items.shape[:2])
        self._items = ItemFactors.build(
            factors.items.numpy(),
            None if gates is None else gates.numpy(),
            None if bias is None else bias.numpy(),
            factors.scale,
        )

    def trained(self, row: int) -> UserFactors:
        """Return a user's factors."""
        return _user(self._factors, row)

    def folded(self, known: Known, row: int | None) -> UserFactors:
        """Return the factors of a user of training."""
        return self.trained(row or 0)

    def score(self, users: Sequence[UserFactors]) -> Floats:
        """Multiply."""
        return self._items.score(users)


class ScorerScores:
    """Scores of a scorer that has no factors.

    Args:
        scorer: The scorer of the users of training.
    """

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer

    def trained(self, row: int) -> tuple[Scorer, int]:
        """Return the scorer and the user's row in it."""
        return self._scorer, row

    def folded(self, known: Known, row: int | None) -> tuple[Scorer, int]:
        """Return the scorer and the row of a user of training."""
        return self.trained(row or 0)

    @torch.inference_mode()
    def score(self, users: Sequence[tuple[Scorer, int]]) -> Floats:
        """Ask each user's scorer."""
        return np.concatenate([scorer.block(torch.tensor([row])).numpy() for scorer, row in users])


def quick_model(artifact: Artifact) -> QuickModel:
    """Return the quick form of an artifact."""
    names = artifact.history.behaviors.names

    def of_behavior(behavior: int) -> Scores:
        scorer = artifact.scorer(names[behavior])
        if isinstance(scorer, ScoreFactors) and scorer.corrections is None:
            return FactorScores(scorer)
        return ScorerScores(scorer)

    return QuickModel(artifact.history, lru_cache(maxsize=None)(of_behavior))


def _user(factors: ScoreFactors, row: int) -> UserFactors:
    gates = factors.user_gates
    if gates is None and factors.item_gates is not None:
        gates = factors.item_gates.new_zeros(len(factors.users), factors.item_gates.shape[1])
    return UserFactors(factors.users[row].numpy(), None if gates is None else gates[row].numpy())
