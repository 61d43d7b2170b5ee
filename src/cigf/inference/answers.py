"""Best items of some users as a table in external ids: known users, or users folded in."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from cigf.data.dataset import Matrix
from cigf.data.ids import UNKNOWN
from cigf.inference.histories import Histories
from cigf.ranking import Only, Scorer, top_k


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Args:
        k: Length of the lists.
        behavior: Index of what is predicted.
        excluded: Behaviors whose items are left out.
        only: "all", "new" or "touched" items.
        allow: Rows of the items that may be recommended; None: all.
        deny: Rows of those that may not.
        scores: Behaviors whose scores are added, by name.
    """

    k: int
    behavior: int
    excluded: tuple[int, ...]
    only: Only
    allow: NDArray[np.int64] | None
    deny: NDArray[np.int64] | None
    scores: dict[str, int]


@dataclass(frozen=True, eq=False)
class Audience:
    """Who asks.

    Args:
        ids: External id of each asking user.
        rows: Her row in the scorers and histories; `UNKNOWN` (-1) where she has none.
        scorer: Scorer of a behavior.
        histories: Who did what.
    """

    ids: pl.Series
    rows: NDArray[np.int64]
    scorer: Callable[[int], Scorer]
    histories: Histories


def answer(
    audience: Audience, request: Request, popularity: Histories, items: pl.Series
) -> pl.DataFrame:
    """Return the lists, one user after the other.

    Args:
        audience: Who asks.
        request: What for.
        popularity: Histories by which users without a row are answered.
        items: External ids of all items.

    Returns:
        Columns user_id, item_id, score, rank (from 1), score_<behavior> for the wanted scores,
        and fallback: whether the user was answered by popularity.
    """
    request = replace(request, k=min(request.k, len(items)))
    shape, known = (len(audience.rows), request.k), audience.rows != UNKNOWN
    chosen = np.full(shape, UNKNOWN, dtype=np.int64)
    scores = np.zeros(shape, dtype=np.float32)
    chosen[known], scores[known] = _rank(audience, audience.rows[known], request)
    if not known.all() and request.only != "touched":
        chosen[~known], scores[~known] = _popular(popularity, request)
    users, positions = np.nonzero(chosen != UNKNOWN)
    listed = chosen[users, positions]
    columns = {
        "user_id": audience.ids.gather(users),
        "item_id": items.gather(listed),
        "score": scores[users, positions],
        "rank": (positions + 1).astype(np.int32),
    }
    for name, behavior in request.scores.items():
        columns[f"score_{name}"] = _scores_of(audience, popularity, behavior, users, listed)
    return pl.DataFrame(columns | {"fallback": ~known[users]})


def _rank(
    audience: Audience, rows: NDArray[np.int64], request: Request
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    touched: Matrix | None = None
    if request.only != "all":
        touched = audience.histories.touched(request.behavior)
    return top_k(
        audience.scorer(request.behavior),
        rows,
        request.k,
        seen=audience.histories.seen(request.excluded),
        touched=touched,
        only=request.only,
        allow=request.allow,
        deny=request.deny,
    )


def _popular(
    histories: Histories, request: Request
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    counts = histories.popularity(request.behavior)
    eligible = np.arange(len(counts)) if request.allow is None else request.allow
    eligible = eligible if request.deny is None else np.setdiff1d(eligible, request.deny)
    best = eligible[np.argsort(-counts[eligible], kind="stable")][: request.k]
    items = np.full(request.k, UNKNOWN, dtype=np.int64)
    scores = np.zeros(request.k, dtype=np.float32)
    items[: len(best)], scores[: len(best)] = best, counts[best]
    return items, scores


def _scores_of(
    audience: Audience,
    popularity: Histories,
    behavior: int,
    users: NDArray[np.int64],
    items: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Return another task's scores of listed pairs; popularity for users without a row."""
    rows = audience.rows[users]
    known = rows != UNKNOWN
    scores = popularity.popularity(behavior)[items].astype(np.float32)
    scorer = audience.scorer(behavior)
    pairs = (torch.from_numpy(part[known]).to(scorer.device) for part in (rows, items))
    scores[known] = scorer.pairs(*pairs).cpu().numpy()
    return scores
