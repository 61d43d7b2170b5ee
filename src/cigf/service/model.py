"""ServedModel: a loaded model that answers in external ids, which requests give as text."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cigf.data.ids import IdMap
from cigf.errors import UnknownIdError
from cigf.inference.quick_model import Ask, Known, QuickModel, Ranked
from cigf.inference.quick_neighbors import QuickNeighbors
from cigf.inference.quick_scores import quick_model
from cigf.inference.recommender import TrainedRecommender
from cigf.service.asked import ListOptions
from cigf.service.event_store import Done


@dataclass(frozen=True, eq=False)
class List:
    """One user's recommendations.

    Args:
        model: Where it comes from.
        user: External id, or None for a session without one.
        items: External ids, best first.
        scores: Their scores.
        fallback: Whether the user is unknown, so that she got what is popular.
        folded: Whether her events since training were used.
    """

    model: "ServedModel"
    user: Any
    items: list[Any]
    scores: list[float]
    fallback: bool
    folded: bool


class Ids:
    """External ids by row, and rows by the text of an id.

    Args:
        ids: The ids of a model.
    """

    def __init__(self, ids: IdMap) -> None:
        self._entity = ids.entity
        self._external = ids.ids.to_list()
        self._rows = {str(external): row for row, external in enumerate(self._external)}

    def __len__(self) -> int:
        return len(self._external)

    def row(self, text: str) -> int | None:
        """Return the row of an id, if it has one."""
        return self._rows.get(text)

    def rows(self, texts: Iterable[str]) -> NDArray[np.int64]:
        """Return the sorted rows of those ids that are known, each once."""
        found = {row for text in texts if (row := self._rows.get(text)) is not None}
        return np.fromiter(sorted(found), dtype=np.int64, count=len(found))

    def known(self, text: str) -> int:
        """Return the row of an id.

        Raises:
            UnknownIdError: It has none.
        """
        row = self._rows.get(text)
        if row is None:
            raise UnknownIdError(f"this {self._entity} is not in the model ({len(self):,} are)")
        return row

    def external(self, rows: Iterable[int]) -> list[Any]:
        """Return the ids of rows."""
        return [self._external[row] for row in rows]


class ServedModel:
    """A model and its ids; frozen, so that requests may go on with it while another is loaded.

    Args:
        name: What requests call it.
        recommender: The loaded artifact.
    """

    def __init__(self, name: str, recommender: TrainedRecommender) -> None:
        self.name = name
        self.recommender = recommender
        self.manifest = recommender.artifact.manifest
        history = recommender.artifact.history
        self.behaviors = history.behaviors
        self.users = Ids(history.users)
        self.items = Ids(history.items)
        self.quick: QuickModel = quick_model(recommender.artifact)
        self.warm_up()

    @classmethod
    def load(cls, name: str, path: Path) -> "ServedModel":
        """Load the artifact, or the artifact of the run, at `path`.

        Raises:
            ArtifactError: There is none, or it is damaged.
        """
        return cls(name, TrainedRecommender.load(path))

    @cached_property
    def version(self) -> str:
        """A short name of exactly these parameters: a part of their file's hash."""
        return self.manifest.files["model.safetensors"].sha256[:12]

    def warm_up(self) -> None:
        """Compute what the first request would wait for."""
        if len(self.users) and len(self.items):
            self.quick.rank([Ask(self.behaviors.target, 1, self.quick.known(0), row=0)])

    def ask(self, user: str | None, done: Done, options: ListOptions) -> Ask:
        """Put a request in rows.

        Args:
            user: External id, or None for a session.
            done: What the user did since training.
            options: What is wanted.

        Raises:
            DataError: A behavior is unknown.
            UnknownIdError: The model knows none of the allowed items.
        """
        behavior = self._behavior(options.behavior)
        row = None if user is None else self.users.row(user)
        known, is_folded = self._all_known(row, done)
        allow = None if options.allow is None else self.items.rows(options.allow)
        if allow is not None and options.allow and not len(allow):
            raise UnknownIdError(f"allow: the model knows none of the {len(options.allow)} items")
        return Ask(
            behavior=behavior,
            k=options.k,
            known=known,
            row=row,
            is_folded=is_folded,
            only=options.only,
            excluded=self._excluded(behavior, options),
            allow=allow,
            deny=None if options.deny is None else self.items.rows(options.deny),
        )

    def answer(self, user: str | None, ask: Ask, ranked: Ranked) -> List:
        """Put a list in external ids; a user the model does not know keeps the id she came with."""
        user = user if ask.row is None else self.users.external([ask.row])[0]
        items, scores = self.items.external(ranked.items.tolist()), ranked.scores.tolist()
        return List(self, user, items, scores, ask.is_popularity, ask.is_folded)

    def similar(self, item: str, k: int) -> tuple[list[Any], list[float]]:
        """Return the items nearest to an item, and their cosines.

        Raises:
            UnknownIdError: The item is unknown.
        """
        row = self.items.known(item)
        rows, cosines = self._neighbors.nearest(row, k)
        return self.items.external(rows.tolist()), cosines.tolist()

    @cached_property
    def _neighbors(self) -> QuickNeighbors:
        return QuickNeighbors(self.recommender.artifact.representations.items.numpy())

    def _behavior(self, name: str | None) -> int:
        return self.behaviors.target if name is None else self.behaviors.index(name)

    def _excluded(self, behavior: int, options: ListOptions) -> tuple[int, ...]:
        if options.exclude is None:
            return (behavior,)
        return tuple(map(self._behavior, options.exclude))

    def _all_known(self, row: int | None, done: Done) -> tuple[Known, bool]:
        """Return what a user did in training and since, and whether the latter adds to it."""
        nothing = np.empty(0, dtype=np.int64)
        trained = (nothing,) * len(self.behaviors) if row is None else self.quick.known(row)
        if not done:
            return trained, False
        known = []
        for name, before in zip(self.behaviors, trained, strict=True):
            since = self.items.rows(done.get(name, ()))
            known.append(np.union1d(before, since) if len(since) else before)
        grew = any(len(a) > len(b) for a, b in zip(known, trained, strict=True))
        return tuple(known), grew
