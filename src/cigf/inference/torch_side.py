"""TorchSide: what a served model needs torch for, so that it can be loaded when it is needed.

That is: users represented by their events, scores that are no factors, and explanations.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from cigf.data.dataset import build_matrix
from cigf.errors import ArtifactError
from cigf.inference.fold_in import beside_one_item, represent
from cigf.inference.opened import Floats, OpenArtifact
from cigf.inference.quick import UserFactors
from cigf.inference.quick_model import Known
from cigf.inference.quick_scores import user_of
from cigf.inference.recommender import TrainedRecommender
from cigf.ranking import ScoreFactors, Scorer


@dataclass(frozen=True, eq=False)
class Newcomer:
    """A user represented by her events.

    Args:
        scorer: Scorer of a behavior whose users are those who were represented together.
        row: Her row among them.
    """

    scorer: Callable[[int], Scorer]
    row: int

    def factors(self, behavior: int) -> UserFactors:
        """Return her factors of a behavior whose scores are factors."""
        found = self.scorer(behavior)
        assert isinstance(found, ScoreFactors)
        gates = None if found.user_gates is None else found.user_gates.numpy()
        return user_of(found.users.numpy(), gates, self.row, found.is_gated)


class ScorerScores:
    """Scores of a scorer that has no factors; `Scores` of a `QuickModel`.

    Args:
        scorer: The scorer of the users of training.
        behavior: What it predicts.
    """

    def __init__(self, scorer: Scorer, behavior: int) -> None:
        self._scorer = scorer
        self._behavior = behavior

    def trained(self, row: int) -> tuple[Scorer, int]:
        """Return the scorer and the user's row in it."""
        return self._scorer, row

    def folded(self, user: Newcomer) -> tuple[Scorer, int]:
        """Return the scorer of these items for the user, and her row in it."""
        return self._scorer.with_users(user.scorer(self._behavior)), user.row

    @torch.inference_mode()
    def score(self, users: Sequence[tuple[Scorer, int]]) -> Floats:
        """Ask each user's scorer."""
        return np.concatenate([scorer.block(torch.tensor([row])).numpy() for scorer, row in users])

    @torch.inference_mode()
    def score_some(self, user: tuple[Scorer, int], items: NDArray[np.int64]) -> Floats:
        """Return a user's scores with some items."""
        scorer, row = user
        rows = torch.full((len(items),), row)
        return scorer.pairs(rows, torch.from_numpy(items)).numpy()


class TorchSide:
    """The whole of an artifact that is served.

    Args:
        recommender: The loaded artifact.
    """

    def __init__(self, recommender: TrainedRecommender) -> None:
        self.recommender = recommender

    @classmethod
    def load(cls, opened: OpenArtifact) -> "TorchSide":
        """Load all of an artifact that was opened.

        Raises:
            ArtifactError: It is damaged, or another artifact has taken its place since.
        """
        recommender = TrainedRecommender.load(opened.path)
        if recommender.artifact.manifest != opened.manifest:
            raise ArtifactError(f"{opened.path}: replaced since it was opened; reload the models")
        return cls(recommender)

    def scores(self, behavior: int) -> ScorerScores:
        """Return the scores of a behavior without using factors."""
        artifact = self.recommender.artifact
        scorer = artifact.scorer(artifact.history.behaviors.names[behavior])
        return ScorerScores(scorer, behavior)

    def fold(self, users: Sequence[tuple[Known, int | None]]) -> list[Newcomer]:
        """Represent users by what they did; see `Recommender.fold_in`.

        Args:
            users: Of each what she did, and her row in training if she has one.
        """
        artifact = self.recommender.artifact
        shape = (len(users), artifact.history.n_items)
        done = [
            build_matrix(
                np.repeat(np.arange(len(users)), [len(known[behavior]) for known, _ in users]),
                np.concatenate([known[behavior] for known, _ in users]),
                shape,
            )
            for behavior in range(len(artifact.history.behaviors))
        ]
        rows = np.array([-1 if row is None else row for _, row in users], dtype=np.int64)
        them = beside_one_item(artifact, represent(artifact, done, rows))

        @cache
        @torch.no_grad()
        def scorer(behavior: int) -> Scorer:
            return artifact.model.scorer(them, behavior)

        return [Newcomer(scorer, number) for number in range(len(users))]
