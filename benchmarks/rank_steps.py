"""The steps of one training epoch, by one process or, under torchrun, by several ranks.

A program of its own: `python -m benchmarks.rank_steps DATASET STEPS [SECTION.KEY=VALUE...]` prints
one line of JSON.
"""

import itertools
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import REFERENCE
from cigf.data.dataset_store import load_split
from cigf.distributed.exchange import Ranks
from cigf.distributed.launch import Launch, open_ranks
from cigf.distributed.setting import RankSetting
from cigf.experiment.config import load_experiment
from cigf.experiment.peak_memory import peak_megabytes
from cigf.graph.bipartite import BehaviorGraph
from cigf.models.base import Sizes
from cigf.models.registry import build_model
from cigf.sampling.build import build_sampler
from cigf.training.events import EpochRecord, Listener
from cigf.training.trainer import Trainer

WARM_UP = 3
"""First steps that are not counted: kernels are loaded, memory is asked for."""


class _Steps(Listener):
    def __init__(self) -> None:
        self.times = [0.0]
        self.losses: dict[str, float] = {}

    def on_start(self, n_epochs: int, n_steps: int, epoch: int) -> None:
        self.times = [time.perf_counter()]

    def on_step(self, epoch: int, step: int, n_pairs: int) -> None:
        self.times.append(time.perf_counter())

    def on_epoch(self, record: EpochRecord) -> None:
        self.losses = record.losses


def measure(
    dataset: Path, steps: int, settings: Sequence[str], ranks: Ranks | None = None
) -> dict[str, Any]:
    """Train for some steps.

    Args:
        dataset: A prepared dataset; all that is known at test time is learned from.
        steps: How many are counted.
        settings: Changes of the reference setting.
        ranks: Those who share the work; None: this process is alone.

    Returns:
        `seconds` of each counted step; `losses`, their mean by behavior over all steps; and, of
        the rank that has most, `graph_mb` and `peak_mb`.
    """
    n_users = f"sampling.users_per_epoch={256 * (WARM_UP + steps)}"
    config = load_experiment(REFERENCE, ["training.epochs=1", n_users, *settings])
    learned = load_split(dataset).history("test")
    sizes = Sizes(learned.n_users, learned.n_items, len(learned.behaviors))
    model = build_model(config.model_name, config.model, sizes, config.seed)
    build_trainer: Any = Trainer
    if ranks is None:
        graph = BehaviorGraph.build(learned.interactions)
    else:
        setting = RankSetting(learned.interactions, ranks, "cpu")
        graph, model = setting.graph, setting.model(model)
        build_trainer = setting.trainer()
    source = build_sampler(learned.interactions, config.sampling, config.seed)
    heard = _Steps()
    trainer = build_trainer(config.training, learned.behaviors.names, graph, source, listener=heard)
    trainer.fit(model)
    times = heard.times[WARM_UP:]
    own = torch.tensor([graph_megabytes(graph), peak_megabytes() or 0.0])
    most = own if ranks is None else ranks.gather(own[None])[0].amax(0)
    return {
        "seconds": [after - before for before, after in itertools.pairwise(times)],
        "losses": heard.losses,
        "graph_mb": float(most[0]),
        "peak_mb": float(most[1]),
    }


def graph_megabytes(graph: BehaviorGraph) -> float:
    """Return the size of a graph's edges."""
    edges = [*graph.to_users, *graph.to_items]
    tensors = [tensor for each in edges for tensor in (each.offsets, each.indices)]
    n_bytes: int = sum(tensor.nbytes for tensor in tensors)
    return n_bytes / 2**20


def main(arguments: Sequence[str]) -> None:
    """Measure, and let rank 0 print."""
    dataset, steps, settings = Path(arguments[0]), int(arguments[1]), arguments[2:]
    launch = Launch.of(os.environ)
    if launch is None:
        print(json.dumps(measure(dataset, steps, settings)))
        return
    with open_ranks(launch) as ranks:
        found = measure(dataset, steps, settings, ranks)
        if ranks.rank == 0:
            print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
