"""What is to be ranked, and what a ranking answers: plain NumPy, so that nobody needs torch.

`RankingTask` is the question (held-out pairs and what competes with them), `RankCounts` the
answer (how many competitors stand above each held-out item).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cigf.data.dataset import Dataset, Matrix, contains, pair_keys
from cigf.data.splitting import Candidates, HeldOut
from cigf.errors import DataError

Protocol = Literal["full", "1+99"]
Group = Literal["all", "touched", "new"]

PROTOCOLS: tuple[Protocol, ...] = ("full", "1+99")
GROUPS: tuple[Group, ...] = ("all", "touched", "new")


@dataclass(frozen=True, eq=False)
class RankingTask:
    """Held-out pairs to be found among a user's eligible items.

    Args:
        users: User of each held-out pair, shape (n,), ascending.
        items: Item of each held-out pair, shape (n,); no pair twice.
        seen: Pairs that are not ranked: the history of the behavior that is predicted.
        touched: Pairs of the "touched" group, disjoint from `seen` (see `Dataset.touched`).
        candidates: What each pair competes with under 1+99, or None to rank in full only.
        full: Whether to rank in full; without, there must be candidates.

    Raises:
        DataError: The pairs are unsorted, repeated, out of range or in `seen`.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    seen: Matrix
    touched: Matrix
    candidates: Candidates | None = None
    full: bool = True

    def __post_init__(self) -> None:
        self._check_sizes()
        if not self.full and self.candidates is None:
            raise DataError("ranking task: neither in full nor among candidates; give candidates")
        keys = self._keys
        if (np.diff(self.users) < 0).any():
            raise DataError("ranking task: the users are not in ascending order; sort them")
        if len(np.unique(keys)) != len(keys):
            raise DataError("ranking task: a held-out pair stands twice; remove repeated pairs")
        n_seen = int(contains(pair_keys(self.seen), keys).sum())
        if n_seen:
            raise DataError(
                f"ranking task: {n_seen} held-out pairs are in the history of the same behavior, "
                "whose items are not ranked; take them out of one of the two"
            )

    def _check_sizes(self) -> None:
        if self.users.shape != self.items.shape:
            raise DataError(
                f"ranking task: {len(self.users)} users for {len(self.items)} items; "
                "give one user per held-out item"
            )
        if self.seen.shape != self.touched.shape:
            raise DataError(
                f"ranking task: seen has shape {self.seen.shape}, touched {self.touched.shape}; "
                "both must be (users, items)"
            )
        for name, rows, size in zip(
            ("users", "items"), (self.users, self.items), self.seen.shape, strict=True
        ):
            if len(rows) and not 0 <= rows.min() <= rows.max() < size:
                raise DataError(f"ranking task: {name} must be in 0..{size - 1}")
        if self.candidates is not None and len(self.candidates.all) != len(self.users):
            raise DataError(
                f"ranking task: candidates of {len(self.candidates.all)} pairs for "
                f"{len(self.users)} held-out pairs; draw them for these pairs"
            )

    def __len__(self) -> int:
        return len(self.users)

    @cached_property
    def _keys(self) -> NDArray[np.int64]:
        return self.users * self.seen.shape[1] + self.items

    @cached_property
    def is_touched(self) -> NDArray[np.bool_]:
        """Whether each held-out pair is a touched one (else it is new), shape (n,)."""
        return contains(pair_keys(self.touched), self._keys)


def ranking_task(
    history: Dataset,
    held_out: HeldOut,
    behavior: int,
    candidates: Candidates | None = None,
    *,
    full: bool = True,
) -> RankingTask:
    """Return the task of finding held-out pairs of one behavior, given what is known.

    Args:
        history: What is known about the users when they are judged.
        held_out: The pairs to find.
        behavior: Index of their behavior; its items in `history` are not ranked.
        candidates: For the 1+99 protocol.
        full: Whether to rank in full.
    """
    seen, touched = history.interactions[behavior], history.touched(behavior)
    return RankingTask(held_out.users, held_out.items, seen, touched, candidates, full)


@dataclass(frozen=True, eq=False)
class RankCounts:
    """How many eligible items stand above each held-out item, ties counted against it.

    A count is the number of other eligible items whose score is not smaller (a score that is
    NaN is never smaller, and nothing is smaller than one), so the rank is 1 + count. Where a user
    has several held-out items in one ranking, these are ordered among themselves: by score, then
    by their order in the task; so no two of them share a rank.

    Args:
        is_touched: Whether each pair is touched, shape (n,).
        full_all: Count among all items but the seen ones, shape (n,); None where not in full.
        full_group: Count among the touched items (for a touched pair) or among the items neither
            touched nor seen (for a new pair), shape (n,); None where not in full.
        sampled_all: Count among `Candidates.all`, shape (n,); None without candidates.
        sampled_group: Count among `Candidates.group`, shape (n,); None without candidates.
    """

    is_touched: NDArray[np.bool_]
    full_all: NDArray[np.int64] | None
    full_group: NDArray[np.int64] | None
    sampled_all: NDArray[np.int64] | None = None
    sampled_group: NDArray[np.int64] | None = None

    def ranks(self, protocol: Protocol, group: Group) -> NDArray[np.int64]:
        """Return the ranks, from 1, of the pairs of a group (`members`) under a protocol.

        Raises:
            DataError: The protocol is 1+99 and the task had no candidates.
        """
        among_all, among_group = (
            (self.full_all, self.full_group)
            if protocol == "full"
            else (self.sampled_all, self.sampled_group)
        )
        counts = among_all if group == "all" else among_group
        if counts is None:
            lacked = "was not in full" if protocol == "full" else "had no candidates"
            raise DataError(f"{protocol}: the ranking task {lacked}; make one that measures this")
        return counts[self.members(group)] + 1

    def members(self, group: Group) -> NDArray[np.bool_]:
        """Return which pairs belong to a group, shape (n,)."""
        if group == "all":
            return np.ones(len(self.is_touched), dtype=bool)
        return self.is_touched if group == "touched" else ~self.is_touched
