"""Ranks of held-out items, counted and not sorted: every protocol and group from one pass."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from cigf.data.tasks import RankCounts, RankingTask
from cigf.ranking.factors import items_at_once
from cigf.ranking.ragged import RaggedRows, as_tensor, expand, sum_by
from cigf.ranking.scorer import Scorer, default_block_size
from cigf.ranking.shares import in_shares

PAIRS_AT_ONCE = 256
"""Held-out pairs whose candidates are scored at once."""

_EXACT = 1 << 24
"""How far single precision counts by ones."""


def rank_counts(scorer: Scorer, task: RankingTask, *, block_size: int | None = None) -> RankCounts:
    """Count, for each held-out pair, the eligible items that stand above it (`RankCounts`).

    Every user is scored once, against the whole catalog; a held-out item's score and its
    competitors' come from the same block, so that equal scores are equal. Where the ranks in full
    are not wanted, the held-out items and their candidates alone are scored, as pairs.

    Args:
        scorer: The scores.
        task: The held-out pairs, what is hidden, what is touched, and the candidates.
        block_size: Users scored at once; None chooses.
    """
    if not task.full:
        return _among_candidates(scorer, task)
    size = block_size or default_block_size(scorer.n_items, scorer.device)
    counter = _Counter(task, scorer.device)
    users = _UsersOfPairs(task)

    @torch.no_grad()
    def count(share: slice) -> Int64[Tensor, "4 n"]:
        rows = users.rows_of_pairs(scorer, share, size)
        parts = [counter.count(scores, pairs) for scores, pairs in rows]
        return torch.cat([torch.empty(4, 0, dtype=torch.int64, device=scorer.device), *parts], 1)

    counts = torch.cat(in_shares(count, len(users), scorer.device), dim=1)
    full_all, full_group, *sampled = counts.cpu().numpy()
    if task.candidates is None:
        return RankCounts(task.is_touched, full_all, full_group)
    return RankCounts(task.is_touched, full_all, full_group, *sampled)


def _among_candidates(scorer: Scorer, task: RankingTask) -> RankCounts:
    """Count the candidates that stand above, with no other item scored."""
    assert task.candidates is not None  # as the task has seen to
    drawn = task.candidates.all, task.candidates.group
    listed = np.concatenate([task.items[:, None], *drawn], axis=1)
    width = drawn[0].shape[1]

    @torch.no_grad()
    def count(share: slice) -> Int64[Tensor, "2 n"]:
        users = as_tensor(task.users[share], scorer.device)
        counts = [torch.empty(2, 0, dtype=torch.int64, device=scorer.device)]
        for mine, some in zip(
            torch.split(users, PAIRS_AT_ONCE),
            torch.split(as_tensor(listed[share], scorer.device).long(), PAIRS_AT_ONCE),
            strict=True,
        ):
            owners = torch.repeat_interleave(mine, some.shape[1])
            scores = scorer.pairs(owners, some.clamp(min=0).flatten()).view(some.shape)
            above = ~(scores < scores[:, :1]) & (some >= 0)
            of_all, of_group = above[:, 1 : 1 + width], above[:, 1 + width :]
            counts.append(torch.stack([of_all.sum(1), of_group.sum(1)]))
        return torch.cat(counts, dim=1)

    counts = torch.cat(in_shares(count, len(task), scorer.device), dim=1).cpu().numpy()
    return RankCounts(task.is_touched, None, None, *counts)


class _UsersOfPairs:
    """The distinct users of a task, and which of its pairs are theirs."""

    def __init__(self, task: RankingTask) -> None:
        self._users, firsts, self._positions = np.unique(
            task.users, return_index=True, return_inverse=True
        )
        self._bounds = np.append(firsts, len(task))

    def __len__(self) -> int:
        return len(self._users)

    def rows_of_pairs(
        self, scorer: Scorer, share: slice, size: int
    ) -> Iterator[tuple[Float[Tensor, "n I"], slice]]:
        """Yield one row of scores for each pair of a slice of the task, slice after slice."""
        start: int = share.start
        for scores in scorer.blocks(as_tensor(self._users[share], scorer.device), size):
            first, last = self._bounds[start], self._bounds[start + len(scores)]
            if last - first == len(scores):
                yield scores, slice(first, last)
            else:
                # Users with several held-out items: their rows are repeated, `size` at a time.
                for begin in range(first, last, size):
                    pairs = slice(begin, min(begin + size, last))
                    rows = self._positions[pairs] - start
                    yield scores[as_tensor(rows, scores.device)], pairs
            start += len(scores)


class _Counter:
    """The sets of a task on a device, and the counts of competitors within them."""

    def __init__(self, task: RankingTask, device: torch.device) -> None:
        self._users = as_tensor(task.users, device)
        self._items = as_tensor(task.items, device)
        self._is_touched = as_tensor(task.is_touched, device)
        self._seen = RaggedRows(task.seen, device)
        self._touched = RaggedRows(task.touched, device)
        self._candidates = task.candidates
        # Where the pairs of each pair's user begin and end.
        self._firsts, self._stops = (
            as_tensor(np.searchsorted(task.users, task.users, side), device)
            for side in ("left", "right")
        )

    def count(self, scores: Float[Tensor, "n I"], pairs: slice) -> Int64[Tensor, "4 n"]:
        """Return full_all, full_group, sampled_all and sampled_group of some pairs."""
        marks = scores.gather(1, self._items[pairs, None])
        among_all = _count_everything(scores, marks)
        among_all -= self._count_rows(self._seen, scores, marks, pairs)
        among_touched = self._count_rows(self._touched, scores, marks, pairs)
        owners, others, steps = self._steps_among_own(scores, marks, pairs)
        among_all += sum_by(owners, steps, len(scores))
        among_touched += sum_by(owners, steps * self._is_touched[others], len(scores))
        among_group = torch.where(self._is_touched[pairs], among_touched, among_all - among_touched)
        return torch.stack([among_all, among_group, *self._count_sampled(scores, marks, pairs)])

    def _count_rows(
        self, matrix: RaggedRows, scores: Tensor, marks: Tensor, pairs: slice
    ) -> Int64[Tensor, "n"]:
        owners, items = matrix.read(self._users[pairs])
        return sum_by(owners, ~(scores[owners, items] < marks[owners, 0]), len(scores))

    def _steps_among_own(
        self, scores: Tensor, marks: Tensor, pairs: slice
    ) -> tuple[Int64[Tensor, "m"], Int64[Tensor, "m"], Int64[Tensor, "m"]]:
        """Correct for the user's own held-out items, the pair's included.

        The counts take each of them that is not below the mark; it should count if it stands
        above by score, then by order.

        Returns:
            For each two pairs of one user: the first's row, the second's number in the task, and
            what the second adds to the first's count.
        """
        owners, others = expand(self._firsts[pairs], self._stops[pairs])
        mark, score = marks[owners, 0], scores[owners, self._items[others]]
        counted = ~(score < mark)
        score, mark = (x.nan_to_num(-torch.inf, torch.inf, -torch.inf) for x in (score, mark))
        earlier = others < owners + (pairs.start or 0)
        above = (score > mark) | ((score == mark) & earlier)
        return owners, others, above.long() - counted.long()

    def _count_sampled(
        self, scores: Tensor, marks: Tensor, pairs: slice
    ) -> list[Int64[Tensor, "n"]]:
        if self._candidates is None:
            return [torch.zeros_like(self._items[pairs])] * 2
        return [
            _count_listed(scores, marks, drawn[pairs])
            for drawn in (self._candidates.all, self._candidates.group)
        ]


def _count_everything(
    scores: Float[Tensor, "n I"], marks: Float[Tensor, "n 1"]
) -> Int64[Tensor, "n"]:
    # The complement of "smaller", so that a NaN never helps: neither as a mark nor as a rival.
    smaller = torch.zeros(len(scores), dtype=torch.int64, device=scores.device)
    width = min(items_at_once(len(scores), scores.device), _EXACT, scores.shape[1])
    # Zeros and ones of the scores' own type: truth values take four times as long on a CPU.
    ones = scores.new_empty(len(scores), width)
    for some in torch.split(scores, width, dim=1):
        smaller += torch.lt(some, marks, out=ones[:, : some.shape[1]]).sum(dim=1).long()
    return scores.shape[1] - smaller


def _count_listed(
    scores: Float[Tensor, "n I"], marks: Float[Tensor, "n 1"], items: NDArray[np.integer]
) -> Int64[Tensor, "n"]:
    listed = as_tensor(items, scores.device).long()
    reached = ~(scores.gather(1, listed.clamp(min=0)) < marks)
    return (reached & (listed >= 0)).sum(dim=1)
