"""Fold-in: users represented by their events, without training, and scorers for them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from cigf.data.dataset import Matrix
from cigf.errors import ArtifactError
from cigf.graph.gather_sum import Edges
from cigf.inference.artifact import Artifact
from cigf.inference.events import UserEvents
from cigf.models.base import Representations
from cigf.ranking import Scorer
from cigf.ranking.ragged import as_tensor

_CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class FoldedUsers:
    """Users represented by their events.

    Args:
        events: Who they are and what they did.
        vectors: Their representations, shape (n, B, D).
    """

    events: UserEvents
    vectors: Float[Tensor, "n B D"]


def fold_in(artifact: Artifact, events: UserEvents) -> FoldedUsers:
    """Represent users by their events.

    Raises:
        ConfigError: The model cannot do that.
        ArtifactError: An earlier version of cigf wrote the artifact, without what this needs.
    """
    return FoldedUsers(events, represent(artifact, events.history.interactions, events.rows))


@torch.no_grad()
def represent(
    artifact: Artifact, done: Sequence[Matrix], rows: NDArray[np.int64]
) -> Float[Tensor, "n B D"]:
    """Represent n users by what they did.

    Args:
        artifact: The model.
        done: One matrix (n, I) per behavior.
        rows: The users' rows in training, -1 for unknown ones.

    Raises:
        ConfigError: The model cannot do that.
        ArtifactError: An earlier version of cigf wrote the artifact, without what this needs.
    """
    edges = [_edges(matrix) for matrix in done]
    try:
        return artifact.model.fold_in(artifact.memory, edges, as_tensor(rows, _CPU))
    except KeyError as error:
        raise ArtifactError(
            f"{artifact.path}: it does not hold what fold-in needs ({error}): an earlier version "
            "of cigf wrote it; train again"
        ) from None


def beside_one_item(artifact: Artifact, vectors: Float[Tensor, "n B D"]) -> Representations:
    """Return users as a model scores them; one item is enough for it to make its part of them."""
    return Representations(vectors, artifact.representations.items[:1])


def _edges(matrix: Matrix) -> Edges:
    offsets, indices = (as_tensor(part, _CPU).int() for part in (matrix.indptr, matrix.indices))
    return Edges(offsets, indices, matrix.shape[1])


def scorers(
    artifact: Artifact, users: FoldedUsers, trained: Callable[[int], Scorer]
) -> Callable[[int], Scorer]:
    """Return the scorer of each behavior for users folded in.

    What was made of all items for the trained users is used again: to make it anew would take
    many times longer than to score.

    Args:
        artifact: The model.
        users: The users.
        trained: The scorers of the trained users.
    """
    them = beside_one_item(artifact, users.vectors)

    @torch.no_grad()
    def of_behavior(behavior: int) -> Scorer:
        return trained(behavior).with_users(artifact.model.scorer(them, behavior))

    return lru_cache(maxsize=None)(of_behavior)
