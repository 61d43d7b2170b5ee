"""QuickModel: rows in, arrays out; the part of a trained model that answers single requests.

It needs no torch; what does comes from a `TorchSide`.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cigf.data.dataset import Dataset
from cigf.inference.quick import Floats, best

MANY_ITEMS = 100_000
"""From here on an index is used: it begins to pay between 30,000 items and this many, as
`benchmarks/bench_catalog.py` measures."""

SPARE = 200
"""Candidates beyond the length of a list: recall rises little after that."""

Rows = NDArray[np.int64]

Known = tuple[Rows, ...]
"""What a user did: sorted item rows by behavior."""


@runtime_checkable
class Scores(Protocol):
    """Scores of one behavior. A user is whatever `trained` or `folded` made of her."""

    def trained(self, row: int) -> Any:
        """Return a user of training."""

    def folded(self, user: Any) -> Any:
        """Return a user represented by what she did."""

    def score_some(self, user: Any, items: Rows) -> Floats:
        """Return a user's scores with some items."""

    def score(self, users: Sequence[Any]) -> Floats:
        """Return the scores of some users with all items, shape (n, I), in fresh memory."""


@dataclass(frozen=True, eq=False)
class Ask:
    """One list that is wanted.

    Args:
        behavior: What to predict.
        k: Length of the list.
        known: What the user did.
        row: Her row in training, if she has one.
        is_grown: Whether she did something that is not in training.
        folded: What the model made of all that she did, if that was asked of it.
        only: "all", "new" or "touched".
        excluded: Behaviors whose items are left out.
        allow: Items that may be recommended, or None for all.
        deny: Items that may not.
        scores: Behaviors whose scores of the listed items are added.
    """

    behavior: int
    k: int
    known: Known
    row: int | None = None
    is_grown: bool = False
    folded: Any = None
    only: str = "all"
    excluded: tuple[int, ...] = ()
    allow: Rows | None = None
    deny: Rows | None = None
    scores: tuple[int, ...] = ()

    @property
    def is_popularity(self) -> bool:
        """Whether the model does not represent the user, so that she gets what is popular."""
        return self.row is None and self.folded is None


@dataclass(frozen=True, eq=False)
class Ranked:
    """One list: rows of items, best first, their scores, and those of `Ask.scores`."""

    items: Rows
    scores: Floats = field(repr=False)
    others: tuple[Floats, ...] = field(default=(), repr=False)


@runtime_checkable
class Finder(Protocol):
    """Finds the items whose scores are about the largest."""

    def find(self, user: Any, n: int) -> Rows:
        """Return about the n best items of a user, in ascending order."""
        ...


class QuickModel:
    """Lists by rows, for a few users at a time.

    Args:
        history: What is known about the users.
        scores: The scores of a behavior.
        finders: By behavior, what finds candidates among very many items.
        many: From so many items on, lists from few items score only these.
    """

    def __init__(
        self,
        history: Dataset,
        scores: Callable[[int], Scores],
        finders: Mapping[int, Finder] | None = None,
        many: int = MANY_ITEMS,
    ) -> None:
        self.history = history
        self.scores = scores
        self._finders = dict(finders or {})
        self._is_large = history.n_items >= many
        # The history never changes, so what is counted once stays right.
        self._popularity = lru_cache(maxsize=None)(self._count)

    @property
    def indexed(self) -> Collection[int]:
        """Behaviors that have an index."""
        return self._finders.keys()

    def known(self, row: int) -> Known:
        """Return what a user of training did."""
        matrices = self.history.interactions
        return tuple(
            matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]].astype(np.int64)
            for matrix in matrices
        )

    def rank(self, asks: Sequence[Ask]) -> list[Ranked]:
        """Return the list of each; those that predict the same are scored in one product."""
        answers = dict(self._from_few(asks))
        rest = [number for number in range(len(asks)) if number not in answers]
        for behavior in {asks[number].behavior for number in rest}:
            numbers = [number for number in rest if asks[number].behavior == behavior]
            scores = self._score(behavior, [asks[n] for n in numbers])
            for number, row in zip(numbers, scores, strict=True):
                answers[number] = self._add_others(asks[number], _list(asks[number], row))
        return [answers[number] for number in range(len(asks))]

    def _from_few(self, asks: Sequence[Ask]) -> Iterator[tuple[int, Ranked]]:
        """Yield number and list of those asks for which few items need to be scored."""
        for number, ask in enumerate(asks):
            if self._is_large and not ask.is_popularity:
                source = self.scores(ask.behavior)
                user = _user(source, ask)
                items = few_items(ask)
                wanted = ask.k if items is None else 0
                if items is None and ask.behavior in self._finders:
                    # Some of the best are hidden, and the last of them may be found wrongly.
                    n = ask.k + len(hidden_items(ask)) + SPARE
                    items = self._finders[ask.behavior].find(user, n)
                if items is not None:
                    items = np.setdiff1d(items, hidden_items(ask), assume_unique=True)
                    scores = source.score_some(user, items)
                    places = best(scores, ask.k)
                    if len(places) >= wanted:
                        ranked = Ranked(items[places], scores[places])
                        yield number, self._add_others(ask, ranked)

    def _add_others(self, ask: Ask, ranked: Ranked) -> Ranked:
        if not ask.scores:
            return ranked
        return replace(ranked, others=tuple(self._some(b, ask, ranked.items) for b in ask.scores))

    def _some(self, behavior: int, ask: Ask, items: Rows) -> Floats:
        if ask.is_popularity:
            return self._popularity(behavior)[items]
        source = self.scores(behavior)
        return source.score_some(_user(source, ask), items)

    def _score(self, behavior: int, asks: Sequence[Ask]) -> list[Floats]:
        source = self.scores(behavior)
        popular = [ask.is_popularity for ask in asks]
        users = [_user(source, ask) for ask in asks if not ask.is_popularity]
        scored = iter(source.score(users) if users else ())
        counts = self._popularity(behavior)
        return [counts.copy() if is_popular else next(scored) for is_popular in popular]

    def _count(self, behavior: int) -> Floats:
        indices = self.history.interactions[behavior].indices
        return np.bincount(indices, minlength=self.history.n_items).astype(np.float32)


def _user(source: Scores, ask: Ask) -> Any:
    return source.trained(ask.row or 0) if ask.folded is None else source.folded(ask.folded)


def _list(ask: Ask, scores: Floats) -> Ranked:
    """Mask a row of scores in place and take its best."""
    if ask.only != "all":
        touched = _touched(ask)
        if ask.only == "new":
            scores[touched] = -np.inf
        else:
            _keep(scores, touched)
    for behavior in ask.excluded:
        scores[ask.known[behavior]] = -np.inf
    if ask.allow is not None:
        _keep(scores, ask.allow)
    if ask.deny is not None:
        scores[ask.deny] = -np.inf
    items = best(scores, ask.k)
    return Ranked(items.astype(np.int64), scores[items])


def few_items(ask: Ask) -> Rows | None:
    """Return the only items that a list may have, ascending; None: it may have all."""
    items = ask.allow
    if ask.only == "touched":
        touched = _touched(ask)
        items = touched if items is None else np.intersect1d(items, touched, assume_unique=True)
    return items


def hidden_items(ask: Ask) -> Rows:
    """Return items that a list may not have, ascending."""
    parts = [ask.known[behavior] for behavior in ask.excluded]
    if ask.only == "new":
        parts.append(_touched(ask))
    if ask.deny is not None:
        parts.append(ask.deny)
    return np.unique(np.concatenate([np.empty(0, np.int64), *parts]))


def _keep(scores: Floats, items: Rows) -> None:
    kept = scores[items]
    scores.fill(-np.inf)
    scores[items] = kept


def _touched(ask: Ask) -> Rows:
    others = [rows for behavior, rows in enumerate(ask.known) if behavior != ask.behavior]
    touched = np.unique(np.concatenate([np.empty(0, np.int64), *others]))
    return np.setdiff1d(touched, ask.known[ask.behavior], assume_unique=True)
