"""Time and peak memory of evaluating every user of Taobao-15K against the whole catalogue.

One run: masks, touched, new and 1+99 of 15,449 x 11,953 scores (3 gated experts of 16
dimensions), then all metrics; bootstrap intervals and top-10 lists beside it. The ranks of a
sample of users are checked against a plain sort in float64.

Run: python benchmarks/bench_evaluate.py [--data FOLDER | --dataset DATASET] [--repeats 5] [--json]
The folder is CIGF_DATA, or ../shared/data beside the checkout; it holds taobao15k/.
"""

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from cigf.data.dataset_store import load_split
from cigf.data.options import PrepareOptions
from cigf.data.prepare import prepare
from cigf.data.splitting import Split
from cigf.data.tasks import RankCounts, RankingTask
from cigf.evaluation import evaluate, evaluation_task
from cigf.ranking import ScoreFactors, rank_counts, top_k

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"
N_EXPERTS, SIZE, SAMPLE = 3, 16, 101


def random_factors(n_users: int, n_items: int) -> ScoreFactors:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    users, items = draw(n_users, N_EXPERTS, SIZE), draw(n_items, N_EXPERTS, SIZE)
    return ScoreFactors(users, items, draw(n_users, N_EXPERTS), draw(n_items, N_EXPERTS))


def check(factors: ScoreFactors, task: RankingTask, counts: RankCounts) -> int:
    """Return the largest difference to ranks by sorting, over some users."""
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


def measure(work: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def run(split: Split, repeats: int) -> dict[str, float]:
    factors = random_factors(split.train.n_users, split.train.n_items)
    rank = partial(rank_counts, factors)
    prepared = evaluation_task(split)
    evaluation = prepared.run(rank)
    users = np.arange(split.train.n_users)
    start = time.process_time()
    prepared.run(rank)
    return {
        "cpu_seconds": time.process_time() - start,
        "seconds": measure(lambda: evaluate(rank, split), repeats),
        "ranking_seconds": measure(lambda: rank(prepared.task), repeats),
        "interval_seconds": measure(
            lambda: evaluation.intervals(np.random.default_rng(0)), repeats
        ),
        "top_10_seconds": measure(
            lambda: top_k(factors, users, 10, seen=prepared.task.seen), repeats
        ),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "largest_rank_difference": check(factors, prepared.task, rank(prepared.task)),
        "threads": torch.get_num_threads(),
    }


def run_on_events(data: Path, repeats: int) -> dict[str, float]:
    taobao = data / "taobao15k"
    if not taobao.is_dir():
        raise SystemExit(f"{data}: holds no taobao15k; name the data folder with --data")
    with tempfile.TemporaryDirectory() as scratch:
        dataset = Path(scratch) / "dataset"
        prepare(taobao / "events.csv.gz", dataset, PrepareOptions(), taobao / "test.csv")
        return run(load_split(dataset), repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CIGF_DATA", BESIDE)))
    parser.add_argument("--dataset", type=Path, help="a prepared one, instead of --data")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.dataset:
        found = run(load_split(options.dataset), options.repeats)
    else:
        found = run_on_events(options.data, options.repeats)
    if options.json:
        print(json.dumps(found))
        return
    print(f"evaluation of every user, {found['threads']} threads, median of {options.repeats}")
    print(f"  whole evaluation {found['seconds']:6.2f} s   (must: 1 s)")
    print(f"  of it, ranking   {found['ranking_seconds']:6.2f} s")
    print(f"  processor        {found['cpu_seconds']:6.2f} s")
    print(f"  1000 resamples   {found['interval_seconds']:6.2f} s")
    print(f"  top 10 of all    {found['top_10_seconds']:6.2f} s")
    print(f"  memory           {found['peak_mb']:6.0f} MB at its peak")
    print(f"  ranks differ from a sort in float64 by at most {found['largest_rank_difference']}")


if __name__ == "__main__":
    main()
