"""Ranks of held-out items, counted by all ranks, each for some of the users."""

from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from cigf.data.dataset import Matrix
from cigf.data.splitting import Candidates
from cigf.data.tasks import RankCounts, RankingTask
from cigf.distributed.exchange import Ranks
from cigf.distributed.partition import Rows
from cigf.ranking import Scorer, rank_counts


def rank_own_users(scorer: Scorer, task: RankingTask, rows: Rows, ranks: Ranks) -> RankCounts:
    """Count with a scorer of this rank's own users; see `ranking.rank_counts`.

    Args:
        scorer: Of this rank's users, in their order, and of all items.
        task: The whole task.
        rows: Whose users are whose.
        ranks: The ranks.
    """
    owned = rows.owned[ranks.rank]
    mine = np.flatnonzero(np.isin(task.users, owned))
    own = _subtask(
        task,
        mine,
        np.searchsorted(owned, task.users[mine]),
        task.seen[owned],
        task.touched[owned],
    )
    return _gathered(rank_counts(scorer, own), mine, len(task), ranks)


def rank_share(scorer: Scorer, task: RankingTask, ranks: Ranks) -> RankCounts:
    """Count for an even share of the task's users with a scorer of all users.

    Args:
        scorer: Of all users and items.
        task: The whole task.
        ranks: The ranks.
    """
    users = np.unique(task.users)
    mine = np.flatnonzero(np.isin(task.users, users[share(len(users), ranks)]))
    own = _subtask(task, mine, task.users[mine], task.seen, task.touched)
    return _gathered(rank_counts(scorer, own), mine, len(task), ranks)


def share(n: int, ranks: Ranks) -> slice:
    """Return this rank's even share of n things."""
    return slice(ranks.rank * n // ranks.size, (ranks.rank + 1) * n // ranks.size)


def _subtask(
    task: RankingTask,
    pairs: NDArray[np.int64],
    users: NDArray[np.int64],
    seen: Matrix,
    touched: Matrix,
) -> RankingTask:
    drawn = task.candidates
    candidates = None if drawn is None else Candidates(drawn.all[pairs], drawn.group[pairs])
    return RankingTask(users, task.items[pairs], seen, touched, candidates, task.full)


def _gathered(own: RankCounts, pairs: NDArray[np.int64], n_pairs: int, ranks: Ranks) -> RankCounts:
    """Put the counts of all ranks' pairs into the order of the task."""
    places = np.concatenate([np.frombuffer(e, np.int64) for e in ranks.everyone(pairs.tobytes())])
    found = {}
    for field in fields(own):
        values = getattr(own, field.name)
        if values is not None:
            each = [np.frombuffer(e, values.dtype) for e in ranks.everyone(values.tobytes())]
            found[field.name] = np.empty(n_pairs, values.dtype)
            found[field.name][places] = np.concatenate(each)
    return RankCounts(**found)
