"""Adds an index to an artifact, and measures what it finds."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cigf.errors import ConfigError
from cigf.inference.index import ItemIndex, build_index
from cigf.inference.opened import OpenArtifact, open_artifact
from cigf.inference.quick import best
from cigf.inference.quick_model import SPARE
from cigf.inference.quick_scores import FactorScores

_USERS = 100


@dataclass(frozen=True)
class Found:
    """What an index finds.

    Args:
        recall: Share of the exact best k that it finds, mean over users.
        users: How many were looked at.
    """

    recall: float
    users: int


def index_artifact(
    path: Path, behavior: str | None = None, *, n_probes: int | None = None, force: bool = False
) -> tuple[Path, Found]:
    """Build the index of an artifact, or of a run's; return its folder, and what it finds.

    Raises:
        ConfigError: The scores of this behavior are no factors.
        DataError: There is no such behavior.
        MissingExtraError: faiss is not installed.
        OutputError: There is an index, and `force` is off.
    """
    opened = open_artifact(path)
    behaviors = opened.history.behaviors
    number = behaviors.target if behavior is None else behaviors.index(behavior)
    name = behaviors.names[number]
    factors = opened.factors(name)
    if factors is None:
        raise ConfigError(
            f"{opened.manifest.model}: the scores of {name} are no factors, so there is nothing "
            "to index; train a model whose scores are, such as cigf"
        )
    index = build_index(factors, opened.manifest.version, name, n_probes=n_probes)
    return index.save(opened.path, force=force), recall(opened, index)


def recall(opened: OpenArtifact, index: ItemIndex, k: int = 10, n_users: int = _USERS) -> Found:
    """Compare an index with exact search: all items, nothing hidden."""
    name = index.about.behavior
    factors = opened.factors(name)
    assert factors is not None
    scores = FactorScores(factors, opened.history.behaviors.index(name))
    rows = np.random.default_rng(0).permutation(opened.history.n_users)[:n_users]
    shares = []
    for row in rows.tolist():
        user = scores.trained(row)
        exact = best(scores.score([user])[0], k)
        shares.append(np.isin(exact, index.find(user, k + SPARE)).mean())
    return Found(float(np.mean(shares)), len(rows))
