"""Recommendations in external ids, from a trained artifact."""

from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from cigf.analysis.explanation import Explainer, Explanation
from cigf.data.dataset import Matrix
from cigf.data.ids import UNKNOWN, IdMap
from cigf.errors import ConfigError, DataError
from cigf.inference.answers import Audience, Request, answer
from cigf.inference.artifact import Artifact, load_artifact
from cigf.inference.checks import check_choice, check_k, refuse_silent, refuse_unknown
from cigf.inference.events import Events, Ids, OnHistory, ids_series, user_events
from cigf.inference.fold_in import FoldedUsers, fold_in, scorers
from cigf.inference.histories import Histories
from cigf.inference.neighbors import most_similar, nearest
from cigf.ranking import Only, Scorer

Fallback = Literal["error", "popularity"]


class TrainedRecommender:
    """Answers in external ids from an artifact.

    Args:
        artifact: A loaded artifact.
        device: Where known users' lists are computed; those of folded-in users, on the CPU.
    """

    def __init__(self, artifact: Artifact, device: torch.device | str = "cpu") -> None:
        self.artifact = artifact
        self._device = device
        self._histories = Histories(artifact.history)
        # The artifact never changes, so what is derived from it never becomes stale.
        self._scorer = lru_cache(maxsize=None)(self._make_scorer)

    @classmethod
    def load(cls, path: Path | str, device: torch.device | str = "cpu") -> "TrainedRecommender":
        """Load the artifact, or the artifact of the run, at `path`.

        Args:
            path: The folder.
            device: Where known users' lists are computed.

        Raises:
            ArtifactError: There is none, or it is damaged.
        """
        return cls(load_artifact(Path(path)), device)

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
        scores: Sequence[str] = (),
        fallback: Fallback = "error",
    ) -> pl.DataFrame:
        """Return the best k items of some users.

        Args:
            users: External ids; answered in this order.
            k: Length of the lists; a list is shorter where fewer items are eligible.
            only: "new" leaves out what the user has touched under another behavior, "touched"
                keeps nothing else.
            behavior: What to predict; default: the target.
            exclude: Behaviors whose items are left out; default: `behavior` alone, so that what
                was bought is hidden and what was viewed is kept.
            allow: Items that may be recommended; those the model does not know are passed over.
                Default: all.
            deny: Items that may not be recommended; unknown ones are passed over.
            scores: Behaviors whose scores of the listed items are added: columns score_<name>.
            fallback: For unknown users, "popularity" answers with the items that most users did
                `behavior` with (their number is the score), "error" refuses.

        Returns:
            Columns user_id, item_id, score, rank (from 1), then those of `scores`; with
            fallback="popularity" also the column fallback, true in the rows of unknown users.

        Raises:
            UnknownIdError: A user is unknown and fallback is "error", or all of `allow` is.
            ConfigError: k, only or fallback is not allowed, or the model does not predict a
                behavior.
            DataError: There is no such behavior.
        """
        request = self._request(k, only, behavior, exclude, allow, deny, scores)
        check_choice("fallback", fallback, get_args(Fallback))
        ids = ids_series(users)
        rows = self.artifact.history.users.find(ids)
        if fallback == "error":
            refuse_unknown(ids, rows, self.artifact.history.users)
        named = self._external_users(ids, rows)
        scorer = partial(self._scorer, device=self._device)
        return self._answer(Audience(named, rows, scorer, self._histories), request, fallback)

    def fold_in(
        self, events: Events, *, user: Any = None, history: OnHistory = "add"
    ) -> FoldedUsers:
        """Represent users by what they did, known users or not, without training.

        Args:
            events: Of one user, a mapping from behaviors to item ids; of one or several, a frame
                with the columns behavior and item_id, and user_id where they are several.
                Items that the model does not know are passed over.
            user: Whose events they are, where they do not say so; None: an unknown user's.
            history: What events do to what is known of a known user: "add" to it, or "replace"
                it. For a known user whose events are those of training, the result is her row of
                the trained representations.

        Raises:
            ConfigError: The model cannot do that, or `history` is not allowed.
            DataError: A behavior is unknown, or a column is missing.
        """
        check_choice("history", history, get_args(OnHistory))
        known = self.artifact.history
        return fold_in(self.artifact, user_events(events, known, user=user, history=history))

    def recommend_for(
        self,
        events: Events | FoldedUsers,
        k: int = 10,
        *,
        user: Any = None,
        history: OnHistory = "add",
        only: Only = "all",
        behavior: str | None = None,
        exclude: Sequence[str] | None = None,
        allow: Ids | None = None,
        deny: Ids | None = None,
        scores: Sequence[str] = (),
        fallback: Fallback = "error",
    ) -> pl.DataFrame:
        """Return the best k items of users given by what they did; see `fold_in`.

        Args:
            events: As for `fold_in`, or what it returned.
            k: Length of the lists.
            user: As for `fold_in`; not for what it returned.
            history: As `user`.
            only: As for `recommend`; what counts are all events of these users.
            behavior: What to predict; default: the target.
            exclude: As for `recommend`.
            allow: Items that may be recommended.
            deny: Items that may not be recommended.
            scores: Behaviors whose scores are added.
            fallback: For unknown users without an event of a known item.

        Returns:
            As `recommend`; user_id is null for a user who was not named.

        Raises:
            UnknownIdError: As `recommend`.
            ConfigError: As `recommend` and `fold_in`.
            DataError: As `recommend` and `fold_in`.
        """
        request = self._request(k, only, behavior, exclude, allow, deny, scores)
        check_choice("fallback", fallback, get_args(Fallback))
        if not isinstance(events, FoldedUsers):
            events = self.fold_in(events, user=user, history=history)
        elif user is not None or history != "add":
            raise ConfigError(
                f"user={user!r} and history={history!r} given, but these users are folded in "
                "already; give both to fold_in"
            )
        audience = self._audience(events)
        if fallback == "error":
            refuse_silent(audience)
        return self._answer(audience, request, fallback)

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
            ConfigError: k is not positive, or the model knows no similarity.
        """
        check_k(k)
        ids, vectors = self.artifact.history.items, self.artifact.representations.items
        row = ids.row(item)
        own = self.artifact.model.similar_items(row)
        return _similar(
            ids, *(nearest(vectors, row, k) if own is None else most_similar(own, row, k))
        )

    def similar_users(self, user: Any, k: int = 10) -> pl.DataFrame:
        """Return the k users nearest to a user: columns user_id, score (cosine), rank.

        Raises:
            UnknownIdError: The user is unknown.
            ConfigError: k is not positive, or the model has no vectors of users.
        """
        check_k(k)
        ids, vectors = self.artifact.history.users, self.artifact.representations.users
        row = ids.row(user)
        if not vectors.shape[2]:
            raise ConfigError(
                f"{self.artifact.manifest.model} has no vectors of users to compare; "
                "train a model that does, such as ials or cigf"
            )
        return _similar(ids, *nearest(vectors, row, k))

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
        check_k(k)
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

    def _make_scorer(self, behavior: int, device: torch.device | str = "cpu") -> Scorer:
        return self.artifact.scorer(self.artifact.history.behaviors.names[behavior], device)

    def _behavior(self, name: str | None) -> int:
        behaviors = self.artifact.history.behaviors
        return behaviors.target if name is None else behaviors.index(name)

    def _request(
        self,
        k: int,
        only: Only,
        behavior: str | None,
        exclude: Sequence[str] | None,
        allow: Ids | None,
        deny: Ids | None,
        scores: Sequence[str],
    ) -> Request:
        check_choice("only", only, get_args(Only))
        check_k(k)
        chosen = self._behavior(behavior)
        return Request(
            k,
            chosen,
            (chosen,) if exclude is None else tuple(map(self._behavior, exclude)),
            only,
            None if allow is None else self._allowed_items(ids_series(allow)),
            None if deny is None else self._known_items(ids_series(deny)),
            {name: self._behavior(name) for name in scores},
        )

    def _audience(self, folded: FoldedUsers) -> Audience:
        events = folded.events
        degrees = sum(np.diff(matrix.indptr) for matrix in events.history.interactions)
        numbers = np.arange(len(events.ids))
        rows = np.where((degrees > 0) | (events.rows != UNKNOWN), numbers, UNKNOWN)
        scorer = scorers(self.artifact, folded, self._scorer)
        return Audience(events.ids, rows, scorer, Histories(events.history))

    def _answer(self, audience: Audience, request: Request, fallback: Fallback) -> pl.DataFrame:
        frame = answer(audience, request, self._histories, self.items)
        return frame if fallback == "popularity" else frame.drop("fallback")

    def _allowed_items(self, ids: pl.Series) -> NDArray[np.int64]:
        rows = self._known_items(ids)
        if not len(rows):
            items = self.artifact.history.items
            refuse_unknown(ids, items.find(ids), items)
        return rows

    def _known_items(self, ids: pl.Series) -> NDArray[np.int64]:
        rows = self.artifact.history.items.find(ids)
        return np.unique(rows[rows != UNKNOWN])

    def _external_users(self, ids: pl.Series, rows: NDArray[np.int64]) -> pl.Series:
        """Return the ids in the model's type; as text where an unknown one cannot be of it."""
        users, known = self.artifact.history.users, rows != UNKNOWN
        if known.all():
            return users.external(rows)
        cast, written = (ids.cast(each, strict=False) for each in (users.ids.dtype, pl.String))
        if not ids.dtype.is_float() and cast.cast(pl.String).equals(written):
            return cast
        named = users.external(np.maximum(rows, 0)).cast(pl.String)
        return named.zip_with(pl.Series(known), written)


def _row(matrix: Matrix, row: int) -> NDArray[np.int32]:
    start, stop = matrix.indptr[row], matrix.indptr[row + 1]
    indices: NDArray[np.int32] = matrix.indices[start:stop]
    return indices


def _similar(ids: IdMap, scores: torch.Tensor, rows: list[int]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            f"{ids.entity}_id": ids.external(np.asarray(rows, dtype=np.int64)),
            "score": scores.numpy(),
            "rank": np.arange(1, len(rows) + 1, dtype=np.int32),
        }
    )
