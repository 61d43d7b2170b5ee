"""Seconds of training until the fast setting is as good as the reference program.

The weights after every epoch are kept, and evaluated on the test candidates when training is over:
nothing is selected by them, and their evaluation is not in the time.
"""

import tempfile
from collections.abc import Iterator
from functools import partial
from itertools import accumulate
from pathlib import Path

import torch
from safetensors.torch import load_file

from benchmarks.common import FAST, Figure, Options, say
from cigf.data.splitting import Split
from cigf.evaluation import evaluation_task
from cigf.evaluation.protocols import lookup
from cigf.experiment.config import load_experiment
from cigf.experiment.training import fit_split
from cigf.graph.bipartite import BehaviorGraph
from cigf.models.base import Recommender
from cigf.ranking import rank_counts
from cigf.training.events import EpochRecord, Listener

METRIC, ENOUGH, MUST = "ndcg@10/1+99", 0.350, 60.0
Weights = dict[str, torch.Tensor]


class Snapshots(Listener):
    """Keeps every epoch's seconds and weights; the latter from the checkpoint that ends it.

    Args:
        checkpoints: The folder of the run's checkpoints.
    """

    def __init__(self, checkpoints: Path) -> None:
        self._last = checkpoints / "last.safetensors"
        self.seconds: list[float] = []
        self.weights: list[Weights] = []

    def on_epoch(self, record: EpochRecord) -> None:
        """Keep the epoch; the trainer's clock stands still meanwhile."""
        prefix = "model/"
        tensors = load_file(self._last).items()
        self.seconds.append(record.seconds)
        self.weights.append(
            {key.removeprefix(prefix): t for key, t in tensors if key.startswith(prefix)}
        )


def run(options: Options) -> list[Figure]:
    """Train, then evaluate every epoch."""
    split = options.split()
    with tempfile.TemporaryDirectory() as folder:
        kept = Snapshots(Path(folder))
        fitted = fit_split(split, load_experiment(FAST), Path(folder), device="cpu", listener=kept)
    total = list(accumulate(kept.seconds))
    say(f"fast: {len(total)} epochs in {total[-1]:.1f} s; now their evaluation")
    values = list(evaluated(fitted.model, kept.weights, split))
    reached = next((epoch for epoch, value in enumerate(values) if value >= ENOUGH), None)
    return [
        Figure(
            f"training until {METRIC} >= {ENOUGH:.3f}",
            None if reached is None else total[reached],
            "s",
            digits=1,
            must=MUST,
        ),
        Figure("epochs until then", None if reached is None else reached + 1, digits=0),
        Figure("training of all epochs", total[-1], "s", digits=1, values=tuple(total)),
        Figure("epochs", len(values), digits=0),
        Figure(f"{METRIC}, last epoch", values[-1], digits=4, values=tuple(values)),
    ]


@torch.no_grad()
def evaluated(model: Recommender, weights: list[Weights], split: Split) -> Iterator[float]:
    """Yield the metric on the test pairs with each of the weights."""
    graph = BehaviorGraph.build(split.history("test").interactions)
    task = evaluation_task(split, protocols=("1+99",), ks=(10,))
    target = split.train.behaviors.target
    for epoch in weights:
        model.load_state_dict(epoch)
        scorer = model.scorer(model.encode(graph), target)
        yield lookup(task.run(partial(rank_counts, scorer)).means(), METRIC)
