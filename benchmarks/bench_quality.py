"""Quality of the reference setting: several seeds, last epoch, both protocols.

Runs are kept in the work folder, so a benchmark that was stopped can be continued.
"""

import statistics
from typing import Any

from benchmarks.common import REFERENCE, Figure, Options, say, trained_run
from cigf.experiment.config import load_experiment
from cigf.experiment.evaluating import evaluate_run

MUST = {("1+99", "hr@10"): 0.590, ("1+99", "ndcg@10"): 0.350}
METRICS = ("hr@10", "ndcg@10")


def run(options: Options) -> list[Figure]:
    """Train and evaluate every seed."""
    found = [_metrics(options, seed) for seed in options.seeds]
    return [
        figure
        for protocol in ("1+99", "full")
        for metric in METRICS
        for figure in _figures(protocol, metric, [each[protocol]["all"][metric] for each in found])
    ]


def _metrics(options: Options, seed: int) -> dict[str, Any]:
    config = load_experiment(REFERENCE, [f"seed={seed}"])
    dataset = options.dataset
    run = trained_run(dataset, options.work / "runs" / f"reference-{seed}", config)
    metrics: dict[str, Any] = evaluate_run(run.path, dataset=dataset, n_bootstrap=0)["metrics"]
    seconds = run.read_info()["train_seconds"]
    values = ", ".join(f"{name} {metrics['1+99']['all'][name]:.4f}" for name in METRICS)
    say(f"quality: seed {seed}: {values} (1+99); {seconds:.0f} s of training")
    return metrics


def _figures(protocol: str, metric: str, values: list[float]) -> list[Figure]:
    name = f"{metric}/{protocol}"
    mean = Figure(
        f"{name}, mean",
        statistics.mean(values),
        digits=4,
        values=tuple(values),
        must=MUST.get((protocol, metric)),
        at_least=True,
    )
    if len(values) == 1:
        return [mean]
    return [mean, Figure(f"{name}, standard deviation", statistics.stdev(values), digits=4)]
