"""Where a training step of the reference setting spends its time, beside the bytes it has to move.

Each part is timed alone, by turns with the others, so that a machine whose speed drifts treats all
alike: medians, and minima for machines on which others work too. The floor of a part is what it
must read and write, however it is programmed, over the rate at which this machine's threads read
again and again what propagation gathers from (3 MB, which caches hold: quicker than main memory).
The L2 term has no row: it is inside the optimizer's step.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.common import REFERENCE, Figure, Options, say
from cigf.compiled import n_threads, switched, threads_for_kernels, usable
from cigf.data.splitting import Split
from cigf.experiment.config import load_experiment
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.gather_sum import gather
from cigf.models.base import Representations, Sizes
from cigf.models.cigf import CIGF
from cigf.models.registry import build_model
from cigf.sampling.users import UserSampler
from cigf.shapes import Batch
from cigf.training.memory import kept_memory
from cigf.training.optimizers import build_optimizer

_FLOAT, _INDEX, _ID = 4, 4, 8
_STEPS_PER_REPEAT = 8


@kept_memory()
def run(options: Options) -> list[Figure]:
    """Measure the parts with compiled kernels and without, by turns."""
    step = Step.build(options.split())
    ways = {"": True, " without compiled kernels": False} if usable() else {"": False}
    seconds: dict[str, list[float]] = defaultdict(list)
    for repeat in range(1 + options.repeats):
        for suffix, compiled in ways.items():
            with switched(on=compiled):
                kernels_alone = threads_for_kernels() if step.model.in_kernels else nullcontext()
                with kernels_alone:
                    for name, values in step.time_parts().items():
                        seconds[name + suffix] += values if repeat else []  # the first warms up
        say(f"step: {repeat} of {options.repeats} rounds")
    figures = []
    for suffix, compiled in ways.items():
        figures += _figures(seconds, suffix)
        with switched(on=compiled):
            figures.append(Figure(f"operations{suffix}", step.operations(), digits=0))
    return figures + _floors(step)


@dataclass(frozen=True)
class Step:
    """All that a training step needs."""

    model: CIGF
    graph: BehaviorGraph
    sampler: UserSampler
    optimizer: torch.optim.Optimizer

    @classmethod
    def build(cls, split: Split) -> "Step":
        """The reference setting on all training pairs."""
        config = load_experiment(REFERENCE, [])
        learned = split.history("test")
        sizes = Sizes(learned.n_users, learned.n_items, len(learned.behaviors))
        model = build_model(config.model_name, config.model, sizes, config.seed)
        assert isinstance(model, CIGF)
        return cls(
            model,
            BehaviorGraph.build(learned.interactions),
            UserSampler(learned.interactions, config.sampling, config.seed),
            build_optimizer(model, config.training),
        )

    def time_parts(self) -> dict[str, list[float]]:
        """Return the seconds of each part of some steps."""
        seconds: dict[str, list[float]] = defaultdict(list)
        batches = timed(seconds["sampling"], lambda: list(self.sampler.epoch(0)))
        seconds["sampling"][0] /= len(batches)
        for batch in batches[:_STEPS_PER_REPEAT]:
            self._time_batch(batch, seconds)
        return seconds

    def _time_batch(self, batch: Batch, seconds: dict[str, list[float]]) -> None:
        timed(seconds["whole step, its sampling not counted"], lambda: self.take(batch))
        encoded = timed(seconds["propagation"], lambda: self.encode(batch))
        x, y = encoded.users, encoded.items
        leaves = Representations(*(part.detach().requires_grad_() for part in (x, y)))
        timed(seconds["scoring"], lambda: self.score(leaves, batch))
        ends = [leaves.users.grad, leaves.items.grad]
        timed(seconds["propagation, gradient"], lambda: torch.autograd.backward([x, y], ends))
        timed(seconds["optimizer, L2 inside"], self.optimizer.step)

    def take(self, batch: Batch) -> None:
        """Do what the trainer does with a batch."""
        self.optimizer.zero_grad(set_to_none=True)
        self.model(self.graph, batch).sum().backward()
        self.optimizer.step()

    def encode(self, batch: Batch) -> Representations:
        """Propagate."""
        return self.model.encode(self.graph, batch.users)

    def score(self, representations: Representations, batch: Batch) -> None:
        """Score the pairs and compare them, with the gradient."""
        total: torch.Tensor = self.model.loss(representations, batch).sum()
        total.backward()  # type: ignore[no-untyped-call]

    def operations(self) -> int:
        """Return how many of PyTorch's operations a step calls."""
        batch = next(self.sampler.epoch(0))
        # Without acc_events PyTorch 2.11 warns that it forgets what it never needs again.
        with profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiler:
            self.take(batch)
        return sum(e.count for e in profiler.key_averages() if e.key.startswith("aten::"))


def timed(seconds: list[float], work: Callable[[], Any]) -> Any:
    """Do something, and note how long it took."""
    began = time.perf_counter()
    result = work()
    seconds.append(time.perf_counter() - began)
    return result


def _figures(seconds: dict[str, list[float]], suffix: str) -> list[Figure]:
    figures = []
    whole, rest = 0.0, 0.0
    for name, values in seconds.items():
        if suffix != name[len(name) - len(suffix) :] or (not suffix and "without" in name):
            continue
        milliseconds = tuple(1e3 * value for value in values)
        middle = statistics.median(milliseconds)
        figures.append(Figure(name, middle, "ms", values=milliseconds))
        figures.append(Figure(f"{name}, least", min(milliseconds), "ms"))
        if name.startswith("whole"):
            whole = middle
        elif not name.startswith("sampling"):
            rest += middle
    return [*figures, Figure(f"glue: the whole less its parts{suffix}", whole - rest, "ms")]


def _floors(step: Step) -> list[Figure]:
    rate = read_rate(step)
    moved = bytes_moved(step)
    figures = [Figure("reading 3 MB in caches, all threads", rate / 1e9, "GB/s", digits=1)]
    figures.append(Figure("threads of the kernels", n_threads(), digits=0))
    for name, amount in {**moved, "all": sum(moved.values())}.items():
        figures.append(Figure(f"{name}: bytes that must move", amount / 1e6, "MB", digits=1))
        figures.append(Figure(f"{name}: floor", 1e3 * amount / rate, "ms"))
    rows = row_rate(step)
    name = "propagation and its gradient"
    figures.append(Figure("summing rows over the same edges, all threads", rows / 1e9, "GB/s", 1))
    figures.append(Figure(f"{name}: time at that rate", 1e3 * moved[name] / rows, "ms"))
    return figures


def row_rate(step: Step) -> float:
    """Return bytes per second at which another program sums rows over the very same edges.

    PyTorch's `embedding_bag`, forwards only, for both directions of every behavior, with rows of
    the first layer's width and of the last one's: rows in the order of the edges are no stream.
    """
    graph, size = step.graph, step.model.config.embedding_size
    moved, seconds = 0, 0.0
    for edges in (*graph.to_users, *graph.to_items):
        for width in (size, size * graph.n_behaviors):
            table = torch.randn(edges.n_columns, width)
            taken = []
            for _ in range(10):
                began = time.perf_counter()
                gather(edges, table)
                taken.append(time.perf_counter() - began)
            seconds += min(taken)
            moved += len(edges.indices) * (_FLOAT * width + _INDEX)
    return moved / seconds


def read_rate(step: Step) -> float:
    """Return bytes per second at which what the last layer gathers from is read, by a product."""
    table = torch.randn(step.graph.n_users * step.graph.n_behaviors * 16)
    seconds = []
    for _ in range(50):
        began = time.perf_counter()
        torch.dot(table, table)
        seconds.append(time.perf_counter() - began)
    return _FLOAT * len(table) / min(seconds) * n_threads()


def bytes_moved(step: Step) -> dict[str, float]:
    """Return the bytes that two layers must move in a step, forward and backward.

    An edge costs its index and its sender's row; a node's row is written and read once per use.
    """
    graph, size = step.graph, step.model.config.embedding_size
    edges = sum(len(each.indices) for each in graph.to_users)
    nodes = graph.n_users + graph.n_items
    row, wide = _FLOAT * size, _FLOAT * size * graph.n_behaviors
    first = 2 * edges * (row + _INDEX) + nodes * wide  # both directions; chains written
    last = edges * (wide + _INDEX) + 2 * graph.n_items * wide  # to items; chains mixed
    batch = next(step.sampler.epoch(0))
    vectors = 3 * batch.n_pairs * wide + graph.n_items * wide
    parameters = sum(parameter.numel() for parameter in step.model.parameters())
    return {
        "propagation and its gradient": 2.0 * (first + last),
        "scoring": 2.0 * vectors,
        "optimizer": 7.0 * _FLOAT * parameters,  # reads 4 numbers per weight, writes 3
        "sampling": 3.0 * _ID * batch.n_pairs,
    }
