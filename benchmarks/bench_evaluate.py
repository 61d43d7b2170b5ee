"""Evaluation of every user: masks, both protocols, touched and new, then all metrics.

The scores are those of 3 gated experts of 16 dimensions with random weights. The ranks of a sample
of users are checked against a plain sort in float64.
"""

import resource
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from benchmarks.common import Figure, Options, median_of
from cigf.data.tasks import RankCounts, RankingTask
from cigf.evaluation import evaluate, evaluation_task
from cigf.ranking import ScoreFactors, rank_counts, top_k

N_EXPERTS, SIZE, SAMPLE = 3, 16, 101


def run(options: Options) -> list[Figure]:
    """Measure a whole evaluation and its parts."""
    split = options.split()
    factors = random_factors(split.train.n_users, split.train.n_items)
    rank = partial(rank_counts, factors)
    prepared = evaluation_task(split)
    evaluation = prepared.run(rank)
    users = np.arange(split.train.n_users)
    works: dict[str, Callable[[], object]] = {
        "whole evaluation": lambda: evaluate(rank, split),
        "of it, ranking": lambda: rank(prepared.task),
        "1000 resamples": lambda: evaluation.intervals(np.random.default_rng(0)),
        "top 10 of all": lambda: top_k(factors, users, 10, seen=prepared.task.seen),
    }
    musts = {"whole evaluation": 1.0}
    times = [
        median_of(name, _seconds(work, options.repeats), "s", must=musts.get(name))
        for name, work in works.items()
    ]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    worst = worst_rank(factors, prepared.task, rank(prepared.task))
    return [
        *times,
        Figure("peak memory", peak, "MB", digits=0),
        Figure("largest difference to ranks by sorting", worst, digits=0),
    ]


def random_factors(
    n_users: int, n_items: int, n_experts: int = N_EXPERTS, device: torch.device | None = None
) -> ScoreFactors:
    """Return factors of the size of CIGF's with random values, the same on every device."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).to(device)

    users, items = draw(n_users, n_experts, SIZE), draw(n_items, n_experts, SIZE)
    return ScoreFactors(users, items, draw(n_users, n_experts), draw(n_items, n_experts))


def worst_rank(factors: ScoreFactors, task: RankingTask, counts: RankCounts) -> int:
    """Return the largest difference to ranks by sorting, over some users."""
    assert factors.user_gates is not None
    assert factors.item_gates is not None
    assert counts.full_all is not None
    worst = 0
    for pair in range(0, len(task), max(len(task) // SAMPLE, 1)):
        user, item = task.users[pair], task.items[pair]
        logits = (factors.user_gates[user] + factors.item_gates).double()
        products = (factors.users[user] * factors.items).sum(-1).double()
        scores = (products * logits.softmax(-1)).sum(-1).numpy()
        seen = task.seen.indices[task.seen.indptr[user] : task.seen.indptr[user + 1]]
        scores[seen] = -np.inf
        rank = 1 + int(np.flatnonzero(np.argsort(-scores, kind="stable") == item)[0])
        worst = max(worst, abs(rank - 1 - int(counts.full_all[pair])))
    return worst


def _seconds(work: Callable[[], object], repeats: int) -> list[float]:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return seconds
