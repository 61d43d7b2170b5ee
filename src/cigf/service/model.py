"""ServedModel: a loaded model that answers in external ids, which requests give as text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cigf.errors import CigfError, UnknownIdError
from cigf.inference.index import ItemIndex, load_index
from cigf.inference.opened import OpenArtifact, open_artifact
from cigf.inference.quick_model import MANY_ITEMS, Ask, Known, QuickModel, Ranked, Scores
from cigf.inference.quick_neighbors import QuickNeighbors
from cigf.inference.quick_scores import FactorScores
from cigf.service.asked import ListOptions
from cigf.service.event_store import Done
from cigf.service.ids import Ids
from cigf.service.late import Late
from cigf.service.recent import Recent

if TYPE_CHECKING:
    from cigf.analysis.explanation import Explanation
    from cigf.inference.torch_side import Newcomer, TorchSide

PATIENCE = 2.0
"""Seconds that a list waits for what represents its user by her events, after the start."""

RECENT_USERS = 20_000
"""So many users who were represented by their events stay so, until they do something more."""


@dataclass(frozen=True, eq=False)
class List:
    """One user's recommendations.

    Args:
        model: Where it comes from.
        user: External id, or None for a session without one.
        items: External ids, best first.
        scores: Their scores.
        others: Their scores for other behaviors, by name.
        fallback: Whether nothing is known of the user, so that she got what is popular.
        folded: Whether her events since training were used.
    """

    model: "ServedModel"
    user: Any
    items: list[Any]
    scores: list[float]
    others: dict[str, list[float]]
    fallback: bool
    folded: bool


class ServedModel:
    """A model and its ids; frozen, so that requests may go on with it while another is loaded.

    Args:
        name: What requests call it.
        opened: The artifact.
    """

    def __init__(self, name: str, opened: OpenArtifact) -> None:
        self.name = name
        self.opened = opened
        self.manifest = opened.manifest
        history = opened.history
        self.behaviors = history.behaviors
        self.users = Ids(history.users)
        self.items = Ids(history.items)
        self.torch: Late[TorchSide] = Late(self._load_torch, f"cigf-load-{name}")
        self.recent: Recent[Newcomer] = Recent(RECENT_USERS)
        self._scores = lru_cache(maxsize=None)(self._make_scores)
        self.quick = QuickModel(history, self._scores, dict(self._finders()))
        self.warm_up()

    @classmethod
    def load(cls, name: str, path: Path) -> "ServedModel":
        """Open the artifact, or the artifact of the run, at `path`.

        Raises:
            ArtifactError: There is none, or it is damaged.
        """
        return cls(name, open_artifact(path))

    @cached_property
    def version(self) -> str:
        """A short name of exactly these parameters: a part of their file's hash."""
        return self.manifest.version

    @property
    def can_fold_in(self) -> bool:
        """Whether the model can represent users by their events."""
        return self.opened.can_fold_in

    def is_at_hand(self, ask: Ask) -> bool:
        """Tell whether a list needs nothing that is loaded later or takes long to make."""
        wanted = {ask.behavior, *ask.scores}
        named = all(self.behaviors.names[each] in self.manifest.factors for each in wanted)
        return named and not self.needs_folding(ask)

    def needs_folding(self, ask: Ask) -> bool:
        """Tell whether the user of a list has yet to be represented by her events."""
        return ask.is_grown and ask.folded is None and self.can_fold_in

    def fold(self, asks: Sequence[Ask]) -> list[Ask]:
        """Represent the users of those lists that need it by what they did, all at once.

        Where what it takes is not loaded in time, or cannot be, they stay as they are in training.
        """
        wanted = [number for number, ask in enumerate(asks) if self.needs_folding(ask)]
        folded = list(asks)
        if wanted:
            users = [(asks[number].known, asks[number].row) for number in wanted]
            try:
                side = self.torch.get(PATIENCE)
            except (TimeoutError, CigfError):
                return folded
            for number, user in zip(wanted, side.fold(users), strict=True):
                folded[number] = replace(asks[number], folded=user)
        return folded

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
        known, is_grown = self._all_known(row, done)
        allow = None if options.allow is None else self.items.rows(options.allow)
        if allow is not None and options.allow and not len(allow):
            raise UnknownIdError(f"allow: the model knows none of the {len(options.allow)} items")
        return Ask(
            behavior=behavior,
            k=options.k,
            known=known,
            row=row,
            is_grown=is_grown,
            only=options.only,
            excluded=self._excluded(behavior, options),
            allow=allow,
            deny=None if options.deny is None else self.items.rows(options.deny),
            scores=tuple(map(self._behavior, options.scores)),
        )

    def answer(self, user: str | None, ask: Ask, ranked: Ranked) -> List:
        """Put a list in external ids; a user the model does not know keeps the id she came with."""
        user = user if ask.row is None else self.users.external([ask.row])[0]
        items, scores = self.items.external(ranked.items.tolist()), ranked.scores.tolist()
        names = [self.behaviors.names[each] for each in ask.scores]
        others = dict(zip(names, (each.tolist() for each in ranked.others), strict=True))
        return List(self, user, items, scores, others, ask.is_popularity, ask.is_grown)

    def explain(self, user: str, item: str | None, behavior: str | None, k: int) -> "Explanation":
        """Say why a user gets an item; see `TrainedRecommender.explain`."""
        row = self.users.known(user)
        named = self.users.external([row])[0]
        wanted = item if item is None else self.items.external([self.items.known(item)])[0]
        side = self.torch.get()
        return side.recommender.explain(named, wanted, behavior=behavior, k=k)

    def similar(self, item: str, k: int) -> tuple[list[Any], list[float]]:
        """Return the items nearest to an item, and their cosines.

        Raises:
            UnknownIdError: The item is unknown.
            ConfigError: The model knows no similarity of items.
        """
        row = self.items.known(item)
        if not self.opened.items.shape[2]:  # similarity is then a matter of the model's own
            ids = self.items.external([row])
            frame = self.torch.get().recommender.similar_items(ids[0], k)
            return frame["item_id"].to_list(), frame["score"].to_list()
        rows, cosines = self._neighbors.nearest(row, k)
        return self.items.external(rows.tolist()), cosines.tolist()

    def _load_torch(self) -> "TorchSide":
        from cigf.inference.torch_side import TorchSide  # takes longer than all else together

        return TorchSide.load(self.opened)

    def _finders(self) -> Iterator[tuple[int, ItemIndex]]:
        """Yield the index of the artifact, if it has one and enough items for it to pay."""
        if len(self.items) >= MANY_ITEMS:
            index = load_index(self.opened.path, self.version)
            if index is not None:
                yield self.behaviors.index(index.about.behavior), index

    def _make_scores(self, behavior: int) -> Scores:
        factors = self.opened.factors(self.behaviors.names[behavior])
        if factors is None:
            return self.torch.get().scores(behavior)
        return FactorScores(factors, behavior)

    @cached_property
    def _neighbors(self) -> QuickNeighbors:
        return QuickNeighbors(self.opened.items)

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
