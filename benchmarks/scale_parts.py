"""Work on a large graph, each piece in a process of its own: its times and its peak memory.

    python -m benchmarks.scale_parts PART DATASET ['{"option": value}']

prints one line of JSON. `benchmarks.bench_scale` runs the pieces and compares them.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.bench_evaluate import random_factors
from benchmarks.common import REFERENCE
from cigf.compiled import threads_for_kernels
from cigf.data.dataset import Dataset
from cigf.data.dataset_store import load_split
from cigf.data.splitting import HeldOut
from cigf.data.tasks import ranking_task
from cigf.experiment.config import ExperimentConfig, load_experiment
from cigf.experiment.peak_memory import peak_megabytes
from cigf.graph.bipartite import BehaviorGraph
from cigf.models.base import Recommender, Sizes
from cigf.models.registry import build_model
from cigf.ranking import rank_counts, top_k
from cigf.sampling.build import build_sampler
from cigf.training.events import EpochRecord, Listener
from cigf.training.trainer import Trainer

Taken = dict[str, Any]

RANKED = 10_000
"""Held-out pairs that are ranked, at most; a prepared log may hold one out of every user."""

SUBGRAPHS = ["sampling.subgraph=budget", "sampling.subgraph_nodes=40000"]
"""The published sub-graphs: 10,000 users, as many items, then 40,000 of each in two rounds."""


class _Clock(Listener):
    """Seconds of every step, with its sampling, and of every epoch; processor seconds of steps.

    Processor seconds are of all threads: on a machine that has other work they say more.

    Args:
        device: Which has to be done with a step before its time is taken.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.steps: list[float] = []
        self.processor: list[float] = []
        self.epochs: list[float] = []
        self.losses: list[float] = []
        self._last = time.perf_counter()
        self._processor = time.process_time()

    def on_step(self, epoch: int, step: int, n_pairs: int) -> None:
        finish(self._device)
        now, processor = time.perf_counter(), time.process_time()
        self.steps.append(now - self._last)
        self.processor.append(processor - self._processor)
        self._last, self._processor = now, processor

    def on_epoch(self, record: EpochRecord) -> None:
        self.epochs.append(record.seconds)
        self.losses.append(sum(record.losses.values()))
        self._last, self._processor = time.perf_counter(), time.process_time()


def train(data: Dataset, options: Taken) -> Taken:
    """Train for some epochs, of which the first is not counted where there are several."""
    clock = _Clock(_device(options))
    return {
        **_fit(data, options, clock),
        "steps": clock.steps,
        "processor": clock.processor,
        "epochs": clock.epochs,
        "losses": clock.losses,
    }


def _fit(data: Dataset, options: Taken, listener: Listener) -> Taken:
    config, device = _config(options), _device(options)
    began = time.perf_counter()
    graph = BehaviorGraph.build(data.interactions, device)
    built = time.perf_counter() - began
    source = build_sampler(data.interactions, config.sampling, config.seed, device)
    trainer = Trainer(config.training, data.behaviors.names, graph, source, listener=listener)
    trainer.fit(_model(data, config).to(device))
    return {"graph_seconds": built, "steps_per_epoch": source.n_steps}


class _Profiler(Listener):
    """Watches what a device does in an epoch's steps after the first ones.

    Args:
        device: Which is watched.
        warm_up: Steps before.
    """

    def __init__(self, device: torch.device, warm_up: int) -> None:
        kinds = [ProfilerActivity.CPU]
        if device.type == "cuda":
            kinds.append(ProfilerActivity.CUDA)
        self._device, self._warm_up, self._last = device, warm_up, 0
        self._profile = profile(activities=kinds, acc_events=True)  # as in bench_step

    def on_start(self, n_epochs: int, n_steps: int, epoch: int) -> None:
        self._last = n_steps

    def on_step(self, epoch: int, step: int, n_pairs: int) -> None:
        if step == self._warm_up:
            finish(self._device)
            self._profile.start()
        elif step == self._last:
            finish(self._device)
            self._profile.stop()

    def operations(self) -> dict[str, tuple[float, int]]:
        """Return the device's seconds and calls of each kernel; on a CPU, of each operation."""
        events = list(self._profile.key_averages())
        return kernels(events) if self._device.type == "cuda" else operations(events)


def kernels(events: Iterable[Any]) -> dict[str, tuple[float, int]]:
    """Return a GPU's seconds and calls of each kernel and copy among a profiler's events.

    Named stretches of the program, such as the optimizer's step, are among the device's events
    too, from their first kernel to their last: they would count everything in them once more.
    """
    return {
        each.key: (1e-6 * each.self_device_time_total, each.count)
        for each in events
        if each.device_type.name == "CUDA" and not each.is_user_annotation
    }


def operations(events: Iterable[Any]) -> dict[str, tuple[float, int]]:
    """Return the processor's seconds and calls of each operation among a profiler's events."""
    return {each.key: (1e-6 * each.self_cpu_time_total, each.count) for each in events}


def profiled(data: Dataset, options: Taken) -> Taken:
    """Train for one epoch; say what the device did in some of its steps."""
    profiler = _Profiler(_device(options), options["warm_up"])
    n_steps = _fit(data, options, profiler)["steps_per_epoch"] - options["warm_up"]
    return {"profiled_steps": n_steps, "operations": profiler.operations()}


def encode(data: Dataset, options: Taken) -> Taken:
    """Represent all nodes from the whole graph, as for evaluation and recommendations."""
    config, device = _config(options), _device(options)
    graph = BehaviorGraph.build(data.interactions, device)
    model = _model(data, config).to(device).eval()
    with torch.no_grad(), threads_for_kernels():
        seconds = _times(lambda: model.encode(graph), options)
    return {"seconds": seconds}


def rank(data: Dataset, options: Taken) -> Taken:
    """Rank held-out items of some test users in the whole catalog, and list their ten best."""
    split = load_split(Path(options["dataset"]))
    factors = random_factors(data.n_users, data.n_items, len(data.behaviors), _device(options))
    held_out = split.test[data.behaviors.target_name]
    every = max(1, len(held_out) // RANKED)
    held_out = HeldOut(held_out.users[::every][:RANKED], held_out.items[::every][:RANKED])
    history = split.history("test")
    task = ranking_task(history, held_out, data.behaviors.target)
    users = np.unique(held_out.users)
    return {
        "users": len(users),
        "ranks": _times(partial(rank_counts, factors, task), options),
        "lists": _times(partial(top_k, factors, users, 10, seen=task.seen), options),
    }


def _times(work: Callable[[], object], options: Taken) -> list[float]:
    seconds = []
    for _ in range(options.get("repeats", 1)):
        began = time.perf_counter()
        work()
        finish(_device(options))
        seconds.append(time.perf_counter() - began)
    return seconds


def finish(device: torch.device) -> None:
    """Wait until a device has done all that it was told to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _device(options: Taken) -> torch.device:
    return torch.device(options.get("device", "cpu"))


def _config(options: Taken) -> ExperimentConfig:
    return load_experiment(REFERENCE, [str(each) for each in options.get("set", [])])


def _model(data: Dataset, config: ExperimentConfig) -> Recommender:
    sizes = Sizes(data.n_users, data.n_items, len(data.behaviors))
    return build_model(config.model_name, config.model, sizes, config.seed)


PARTS: dict[str, Callable[[Dataset, Taken], Taken]] = {
    "train": train,
    "profiled": profiled,
    "encode": encode,
    "rank": rank,
}


def work(part: str, dataset: Path, options: Taken) -> Taken:
    """Do one piece of work; return what it took, and how large the log is."""
    data = load_split(dataset).history("test")
    taken = PARTS[part](data, {**options, "dataset": str(dataset)})
    n_pairs = sum(matrix.nnz for matrix in data.interactions)
    size = {"users": data.n_users, "items": data.n_items, "pairs": n_pairs}
    size["behaviors"] = len(data.behaviors)
    return {**taken, "size": size, "peak_mb": peak_megabytes()}


def main(part: str, dataset: str, options: str = "{}") -> None:
    """Do one piece of work, and print what it took."""
    print(json.dumps(work(part, Path(dataset), json.loads(options))))


if __name__ == "__main__":
    main(*sys.argv[1:])
