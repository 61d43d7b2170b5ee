"""Recommendations in external ids, from a trained artifact."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from cigf.analysis.explanation import Explainer, Explanation
from cigf.data.dataset import Matrix
from cigf.data.ids import UNKNOWN, IdMap
from cigf.errors import ConfigError, DataError, UnknownIdError, did_you_mean
from cigf.inference.artifact import Artifact, load_artifact
from cigf.inference.histories import Histories
from cigf.inference.neighbors import nearest
from cigf.ranking import Only, top_k

Fallback = Literal["error", "popularity"]
Ids = str | int | Iterable[Any]
"""One id, or several in a list, an array or a Polars or pandas series."""

_FEW = 3
"""How many unknown ids a message names."""


@dataclass(frozen=True)
class _Limits:
    """Items that may (None: all) and may not be recommended."""

    allow: NDArray[np.int64] | None
    deny: NDArray[np.int64] | None


class TrainedRecommender:
    """Answers in external ids from an artifact.

    Args:
        artifact: A loaded artifact.
    """

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self._histories = Histories(artifact.history)
        # The artifact never changes, so what is derived from it never becomes stale.
        self._scorer = lru_cache(maxsize=None)(artifact.scorer)

    @classmethod
    def load(cls, path: Path | str) -> "TrainedRecommender":
        """Load the artifact, or the artifact of the run, at `path`.

        Raises:
            ArtifactError: There is none, or it is damaged.
        """
        return cls(load_artifact(Path(path)))

    @property
    def users(self) -> pl.Series:
        """External ids of all known users."""
        return self.artifact.history.users.ids

    @property
    def items(self) -> pl.Series:
        """External ids of all known items."""
        return self.artifact.history.items.ids

    def recommend(
        self,
        users: Ids,
        k: int = 10,
        *,
        only: Only = "all",
        behavior: str | None = None,
        exclude: Sequence[str] | None = None,
        allow: Ids | None = None,
        deny: Ids | None = None,
        fallback: Fallback = "error",
    ) -> pl.DataFrame:
        """Return the best k items of some users.

        Args:
            users: External ids; answered in this order.
            k: Length of the lists; a list is shorter where fewer items are eligible.
            only: "new" leaves out what the user has touched under another behavior, "touched"
                keeps nothing else.
            behavior: What to predict; default: the target.
            exclude: Behaviors whose items are left out; default: `behavior` alone.
            allow: Items that may be recommended; those the model does not know are passed over.
                Default: all.
            deny: Items that may not be recommended.
            fallback: For unknown users, "popularity" answers with the items that most users did
                `behavior` with, "error" refuses.

        Returns:
            Columns user_id, item_id, score, rank (from 1); with fallback="popularity" also the
            column fallback, true in the rows of unknown users.

        Raises:
            UnknownIdError: A user is unknown and fallback is "error", or all of `allow` is.
            ConfigError: k, only or fallback is not allowed.
            DataError: There is no such behavior.
        """
        check_choice("only", only, get_args(Only))
        check_choice("fallback", fallback, get_args(Fallback))
        _check_k(k)
        ids = _series(users)
        rows = self.artifact.history.users.find(ids)
        if fallback == "error":
            _refuse_unknown(ids, rows, self.artifact.history.users)
        chosen = self._behavior(behavior)
        excluded = (chosen,) if exclude is None else tuple(map(self._behavior, exclude))
        limits = _Limits(self._known_items(allow), self._known_items(deny))
        known = rows != UNKNOWN
        items = np.full((len(rows), k), UNKNOWN, dtype=np.int64)
        scores = np.zeros((len(rows), k), dtype=np.float32)
        items[known], scores[known] = self._rank(rows[known], k, chosen, excluded, only, limits)
        if not known.all() and only != "touched":
            items[~known], scores[~known] = self._popular(k, chosen, limits)
        frame = _lists(self._external_users(ids, rows), items, scores, self.items)
        if fallback == "error":
            return frame
        lengths = (items != UNKNOWN).sum(axis=1)
        return frame.with_columns(fallback=pl.Series(np.repeat(~known, lengths), dtype=pl.Boolean))

    def recommend_all(
        self, k: int = 10, *, block_size: int = 16384, **options: Any
    ) -> Iterator[pl.DataFrame]:
        """Yield the recommendations of all users, a block of them at a time.

        Args:
            k: Length of the lists.
            block_size: Users per block.
            options: As for `recommend`.
        """
        for start in range(0, len(self.users), block_size):
            yield self.recommend(self.users.slice(start, block_size), k, **options)

    def similar_items(self, item: Any, k: int = 10) -> pl.DataFrame:
        """Return the k items nearest to an item: columns item_id, score (cosine), rank.

        Raises:
            UnknownIdError: The item is unknown.
            ConfigError: k is not positive.
        """
        return _similar(self.artifact.representations.items, self.artifact.history.items, item, k)

    def similar_users(self, user: Any, k: int = 10) -> pl.DataFrame:
        """Return the k users nearest to a user: columns user_id, score (cosine), rank.

        Raises:
            UnknownIdError: The user is unknown.
            ConfigError: k is not positive.
        """
        return _similar(self.artifact.representations.users, self.artifact.history.users, user, k)

    def history(self, user: Any) -> pl.DataFrame:
        """Return what a user did: columns behavior, item_id; the deepest behavior first.

        Raises:
            UnknownIdError: The user is unknown.
        """
        data = self.artifact.history
        row = data.users.row(user)
        parts = [
            data.items.external(_row(matrix, row))
            .to_frame("item_id")
            .select(pl.lit(name).alias("behavior"), "item_id")
            for name, matrix in zip(data.behaviors, data.interactions, strict=True)
        ]
        return pl.concat(parts[::-1])

    def explain(
        self, user: Any, item: Any = None, *, behavior: str | None = None, k: int = 5
    ) -> Explanation:
        """Return why a user gets an item: gate, relations, and paths with their shares.

        Args:
            user: External id.
            item: External id; default: the first that would be recommended to her.
            behavior: What is predicted; default: the target.
            k: Most paths that are put into words.

        Raises:
            UnknownIdError: The user or the item is unknown.
            ConfigError: The scores of this model cannot be explained, or k is not positive.
            DataError: There is no such behavior, or nothing is left to recommend.
        """
        _check_k(k)
        data = self.artifact.history
        row, chosen = data.users.row(user), self._behavior(behavior)
        explainer = self._explainer
        if item is None:
            best = self.recommend([data.users.ids[row]], 1, behavior=behavior)
            if not best.height:
                raise DataError(f"user {user!r}: nothing is left to recommend; name an item")
            item = best["item_id"][0]
        return explainer.explain(row, data.items.row(item), chosen, k)

    @cached_property
    def _explainer(self) -> Explainer:
        artifact = self.artifact
        return Explainer(artifact.model, artifact.representations, artifact.graph, artifact.learned)

    def _behavior(self, name: str | None) -> int:
        behaviors = self.artifact.history.behaviors
        return behaviors.target if name is None else behaviors.index(name)

    def _known_items(self, ids: Ids | None) -> NDArray[np.int64] | None:
        if ids is None:
            return None
        wanted = _series(ids)
        rows = self.artifact.history.items.find(wanted)
        if len(rows) and (rows == UNKNOWN).all():
            _refuse_unknown(wanted, rows, self.artifact.history.items)
        return np.unique(rows[rows != UNKNOWN])

    def _rank(
        self,
        rows: NDArray[np.int64],
        k: int,
        behavior: int,
        excluded: tuple[int, ...],
        only: Only,
        limits: _Limits,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        name = self.artifact.history.behaviors.names[behavior]
        return top_k(
            self._scorer(name),
            rows,
            k,
            seen=self._histories.seen(excluded),
            touched=None if only == "all" else self._histories.touched(behavior),
            only=only,
            allow=limits.allow,
            deny=limits.deny,
        )

    def _popular(
        self, k: int, behavior: int, limits: _Limits
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        counts = self._histories.popularity(behavior)
        eligible = np.arange(len(counts)) if limits.allow is None else limits.allow
        eligible = eligible if limits.deny is None else np.setdiff1d(eligible, limits.deny)
        best = eligible[np.argsort(-counts[eligible], kind="stable")][:k]
        items = np.full(k, UNKNOWN, dtype=np.int64)
        scores = np.zeros(k, dtype=np.float32)
        items[: len(best)], scores[: len(best)] = best, counts[best]
        return items, scores

    def _external_users(self, ids: pl.Series, rows: NDArray[np.int64]) -> pl.Series:
        known = self.users
        if (rows != UNKNOWN).all():
            return self.artifact.history.users.external(rows)
        cast = ids.cast(known.dtype, strict=False)
        return ids.cast(pl.String) if cast.null_count() else cast


def _series(ids: Ids) -> pl.Series:
    if isinstance(ids, pl.Series):
        return ids
    # An id alone is one id, not a sequence of letters.
    each = [ids] if isinstance(ids, str | int) else list(ids)
    return pl.Series("id", each, strict=False)


def _row(matrix: Matrix, row: int) -> NDArray[np.int32]:
    start, stop = matrix.indptr[row], matrix.indptr[row + 1]
    indices: NDArray[np.int32] = matrix.indices[start:stop]
    return indices


def _lists(
    users: pl.Series, items: NDArray[np.int64], scores: NDArray[np.float32], ids: pl.Series
) -> pl.DataFrame:
    """Turn padded lists, one row per user, into the long table; padding is left out."""
    filled = items != UNKNOWN
    places, positions = np.nonzero(filled)
    return pl.DataFrame(
        {
            "user_id": users.gather(places),
            "item_id": ids.gather(items[filled]),
            "score": scores[filled],
            "rank": (positions + 1).astype(np.int32),
        }
    )


def _similar(vectors: torch.Tensor, ids: IdMap, external: Any, k: int) -> pl.DataFrame:
    _check_k(k)
    scores, rows = nearest(vectors, ids.row(external), k)
    return pl.DataFrame(
        {
            f"{ids.entity}_id": ids.external(np.asarray(rows, dtype=np.int64)),
            "score": scores.numpy(),
            "rank": np.arange(1, len(rows) + 1, dtype=np.int32),
        }
    )


def _check_k(k: int) -> None:
    if k < 1:
        raise ConfigError(f"k: {k} given; the length of a list must be at least 1")


def check_choice(option: str, value: str, allowed: tuple[str, ...]) -> None:
    """Check an option that is one of a few words.

    Raises:
        ConfigError: It is another; names the closest.
    """
    if value not in allowed:
        raise ConfigError(
            f"{option}: {value!r} given{did_you_mean(value, allowed)}; "
            f"it is one of {', '.join(allowed)}"
        )


def _refuse_unknown(ids: pl.Series, rows: NDArray[np.int64], known: IdMap) -> None:
    unknown = ids.filter(pl.Series(rows == UNKNOWN))
    if len(unknown):
        few = ", ".join(map(repr, unknown.head(_FEW).to_list()))
        more = ", ..." if len(unknown) > _FEW else ""
        hint = '; fallback="popularity" answers anyway' if known.entity == "user" else ""
        raise UnknownIdError(
            f"{len(unknown)} of {len(ids)} {known.entity} ids are not in this model "
            f"({len(known):,} are): {few}{more}{hint}"
        )
