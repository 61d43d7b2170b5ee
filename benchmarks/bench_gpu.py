"""The large graphs on a GPU: a step, an epoch, the whole catalog; without one it says so.

Written for a CUDA device and measured on none so far: there was none where this was developed.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.bench_evaluate import random_factors
from benchmarks.bench_scale import dataset
from benchmarks.common import REFERENCE, Figure, Options, median_of, say
from benchmarks.power_law import IJCAI, TAOBAO, Size
from cigf.data.dataset import Dataset
from cigf.data.dataset_store import load_split
from cigf.data.tasks import ranking_task
from cigf.experiment.config import load_experiment
from cigf.graph.bipartite import BehaviorGraph
from cigf.models.base import Sizes
from cigf.models.registry import build_model
from cigf.ranking import ScoreFactors, rank_counts, top_k
from cigf.sampling.build import build_sampler
from cigf.training.batch_losses import batch_losses
from cigf.training.optimizers import build_optimizer

_GIGABYTE = float(1 << 30)


def run(options: Options, ijcai: Size = IJCAI, taobao: Size = TAOBAO) -> list[Figure]:
    """Measure on the first CUDA device, if there is one."""
    if not torch.cuda.is_available():
        say("gpu: there is no CUDA device here, so nothing is measured")
        return [Figure("CUDA devices", 0, digits=0)]
    name = torch.cuda.get_device_name()
    say(f"gpu: {name}")
    large, middle = (
        load_split(dataset(options, each, size))
        for each, size in (("ijcai", ijcai), ("taobao", taobao))
    )
    figures = [
        *_steps(f"{name}: IJCAI size, a step, L = 3", large.train, 3, options.repeats),
        *_epochs(f"{name}: Taobao size, an epoch, L = 4", middle.train, 4, options.repeats),
        *_ranking(f"{name}: IJCAI size", dataset(options, "ijcai", ijcai), options.repeats),
    ]
    return [Figure("CUDA devices", torch.cuda.device_count(), digits=0), *figures]


def timed(work: Callable[[], object]) -> float:
    """Return the seconds until the device is done."""
    torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - began


class _Training:
    """All that steps need, on the device."""

    def __init__(self, data: Dataset, layers: int) -> None:
        config = load_experiment(REFERENCE, [f"model.n_layers={layers}"])
        sizes = Sizes(data.n_users, data.n_items, len(data.behaviors))
        self.model = build_model(config.model_name, config.model, sizes, 0).to("cuda")
        self.graph = BehaviorGraph.build(data.interactions, "cuda")
        self.source = build_sampler(data.interactions, config.sampling, 0, "cuda")
        self.optimizer = build_optimizer(self.model, config.training)

    def epoch(self, n_steps: int) -> list[float]:
        """Return the seconds of some steps, their sampling counted."""
        batches = self.source.epoch(0)
        return [timed(lambda: self._step(batches)) for _ in range(n_steps)]

    def _step(self, batches: object) -> None:
        batch = next(batches)  # type: ignore[call-overload]
        self.optimizer.zero_grad(set_to_none=True)
        batch_losses(self.model, self.graph, batch).sum().backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()


def _steps(name: str, data: Dataset, layers: int, repeats: int) -> list[Figure]:
    torch.cuda.reset_peak_memory_stats()
    seconds = _Training(data, layers).epoch(3 + repeats)[3:]
    milliseconds = [1e3 * each for each in seconds]
    return [median_of(name, milliseconds, "ms", must=60.0), _peak(name)]


def _epochs(name: str, data: Dataset, layers: int, repeats: int) -> list[Figure]:
    torch.cuda.reset_peak_memory_stats()
    training = _Training(data, layers)
    seconds = [sum(training.epoch(training.source.n_steps)) for _ in range(1 + repeats)]
    return [median_of(name, seconds[1:], "s", must=1.0), _peak(name)]


def _ranking(name: str, folder: Path, repeats: int) -> list[Figure]:
    torch.cuda.reset_peak_memory_stats()
    split = load_split(folder)
    held_out = split.test[split.train.behaviors.target_name]
    task = ranking_task(split.train, held_out, split.train.behaviors.target)
    plain = random_factors(split.train.n_users, split.train.n_items, len(split.train.behaviors))
    parts = (plain.users, plain.items, plain.user_gates, plain.item_gates)
    scorer = ScoreFactors(*(None if part is None else part.to("cuda") for part in parts))
    users = np.unique(held_out.users)
    works = {
        "ranks in the whole catalog": partial(rank_counts, scorer, task),
        "lists of ten": partial(top_k, scorer, users, 10, seen=task.seen),
    }
    figures = []
    for each, work in works.items():
        seconds = [timed(work) for _ in range(1 + repeats)][1:]
        figures.append(median_of(f"{name}, {len(users):,} users: {each}", seconds, "s", must=1.5))
    assert statistics.median(figures[0].values) > 0
    return [*figures, _peak(f"{name}, ranking")]


def _peak(name: str) -> Figure:
    peak = torch.cuda.max_memory_allocated() / _GIGABYTE
    return Figure(f"{name}: peak memory of the device", peak, "GB")
