"""What stands in the place of the loop for models that are computed in one go."""

import time
from dataclasses import replace

from cigf.graph.bipartite import BehaviorGraph
from cigf.models.direct import DirectRecommender
from cigf.training.events import EpochRecord, Listener
from cigf.training.trainer import TrainingResult, Validate


def fit_directly(
    model: DirectRecommender,
    graph: BehaviorGraph,
    seed: int,
    *,
    validate: Validate | None = None,
    listener: Listener | None = None,
) -> TrainingResult:
    """Compute a model; for those who listen it is one epoch, whose steps are the model's parts.

    Args:
        model: The model.
        graph: Training edges.
        seed: Of whatever the model draws.
        validate: Measures it; None where nothing is held out.
        listener: Hears of every part, and of the end.
    """
    listener = listener or Listener()
    listener.on_start(1, model.n_parts(graph), 0)
    parts = 0

    def on_part() -> None:
        nonlocal parts
        parts += 1
        listener.on_step(1, parts, 0)

    started = time.perf_counter()
    model.fit(graph, seed, on_part)
    record = EpochRecord(1, time.perf_counter() - started, {}, 0.0, 0)
    if validate is not None:
        record = replace(record, metrics=validate(model), best=True)
    listener.on_epoch(record)
    reason = "computed in one go"
    listener.on_end(reason)
    return TrainingResult(reason, 1, 1, record.seconds)
