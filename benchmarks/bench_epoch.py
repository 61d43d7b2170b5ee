"""Seconds per epoch of the reference setting, beside a straightforward version in the same run.

Both are checked to have the same loss with the same weights on the same batch. The straightforward
version is timed for some steps and scaled to an epoch.
"""

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.common import REFERENCE, Figure, Options, median_of, say
from benchmarks.straightforward import Straightforward, step_seconds
from cigf.data.dataset import Matrix
from cigf.experiment.config import load_experiment
from cigf.experiment.training import fit_split
from cigf.graph.bipartite import BehaviorGraph
from cigf.models.cigf import CIGF
from cigf.sampling.users import UserSampler
from cigf.shapes import Batch
from cigf.training.events import EpochRecord, Listener

MUST = 1.2


class _Seconds(Listener):
    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_epoch(self, record: EpochRecord) -> None:
        self.seconds.append(record.seconds)


def run(options: Options) -> list[Figure]:
    """Measure both."""
    split = options.split()
    config = load_experiment(REFERENCE, [f"training.epochs={1 + options.repeats}"])
    heard = _Seconds()
    with tempfile.TemporaryDirectory() as folder:
        fitted = fit_split(split, config, Path(folder), device="cpu", listener=heard)
    ours = heard.seconds[1:]  # the first epoch warms up
    say(f"epoch: {len(ours)} epochs timed; now the straightforward version")

    model, l2 = fitted.model, config.training.l2
    assert isinstance(model, CIGF)
    interactions = split.history("test").interactions
    sampler = UserSampler(interactions, config.sampling, config.seed)
    program = Straightforward(model, interactions, l2)
    difference = loss_difference(model, program, interactions, next(sampler.epoch(0)))
    steps = step_seconds(program, interactions, config.sampling, config.training, options.repeats)
    plain = sampler.n_steps * statistics.median(steps)
    return [
        median_of("epoch, median", ours, "s", must=MUST),
        Figure("epoch, fastest", min(ours), "s"),
        Figure(f"straightforward, {sampler.n_steps} steps", plain, "s"),
        median_of("straightforward, one step", steps, "s"),
        Figure("times quicker", plain / statistics.median(ours), digits=1),
        Figure("relative difference of the losses", difference, digits=8),
    ]


@torch.no_grad()
def loss_difference(
    model: CIGF, program: Straightforward, interactions: Sequence[Matrix], batch: Batch
) -> float:
    """Return how far the losses of the same weights on one batch differ, relatively."""
    graph = BehaviorGraph.build(interactions)
    ours = full_loss(model, graph, batch, program.l2)
    theirs = program.loss(batch)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=0)
    return float((ours - theirs).abs() / theirs)


def full_loss(model: CIGF, graph: BehaviorGraph, batch: Batch, l2: float) -> torch.Tensor:
    """Return what training minimizes, the L2 term (in our case the optimizer's) included."""
    bpr = model.loss(model.encode(graph, batch.users), batch).sum()
    return bpr + l2 * sum(table.square().sum() for table in model.regularized())
