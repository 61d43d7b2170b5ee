"""Quality of CIGF+: several seeds, both protocols, all, new and touched pairs.

Runs are kept in the work folder, so a benchmark that was stopped can be continued.
"""

import statistics
from typing import Any

from benchmarks.common import ROOT, Figure, Options, say, trained_run
from cigf.experiment.config import load_experiment
from cigf.experiment.evaluating import evaluate_run
from cigf.experiment.folder import RunFolder

PLUS = ROOT / "experiments" / "cigf-plus.toml"

MUST = {
    ("full", "all", "hr@10"): 0.410,
    ("full", "all", "ndcg@10"): 0.208,
    ("full", "new", "hr@10"): 0.105,
    ("full", "touched", "hr@10"): 0.475,
    ("1+99", "all", "hr@10"): 0.930,
    ("1+99", "all", "ndcg@10"): 0.850,
}


def run(options: Options) -> list[Figure]:
    """Train and evaluate every seed."""
    found = [_metrics(options, seed) for seed in options.seeds]
    return [
        Figure(
            f"{metric}/{protocol}/{group}, mean",
            statistics.mean(values),
            digits=4,
            values=tuple(values),
            must=must,
            at_least=True,
        )
        for (protocol, group, metric), must in MUST.items()
        for values in [[each[protocol][group][metric] for each in found]]
    ]


def run_of(options: Options, seed: int) -> RunFolder:
    """Train one seed, or take what is there."""
    config = load_experiment(PLUS, [f"seed={seed}"])
    return trained_run(options.dataset, options.work / "runs" / f"plus-{seed}", config)


def _metrics(options: Options, seed: int) -> dict[str, Any]:
    run = run_of(options, seed)
    evaluated = evaluate_run(run.path, dataset=options.dataset, n_bootstrap=0)
    metrics: dict[str, Any] = evaluated["metrics"]
    values = ", ".join(
        f"{'/'.join(name)} {metrics[name[0]][name[1]][name[2]]:.4f}" for name in MUST
    )
    say(f"plus: seed {seed}: {values}; {run.read_info()['train_seconds']:.0f} s of training")
    return metrics
