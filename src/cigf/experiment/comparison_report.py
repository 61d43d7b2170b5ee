"""From a comparison's folder to its report: what the cells say, in plain values."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from math import isnan
from typing import Any

from cigf.data.tasks import GROUPS, PROTOCOLS
from cigf.evaluation.evaluator import N_CANDIDATES
from cigf.evaluation.over_seeds import against_best
from cigf.experiment.cells import Outcome
from cigf.experiment.comparing import Comparison, Result, learns_nothing
from cigf.reports.comparison import SHOWN, Report, Row
from cigf.seeding import numpy_generator

N_BOOTSTRAP = 10_000


def comparison_report(
    comparison: Comparison,
    *,
    only: Collection[str] | None = None,
    jobs: int | None = None,
    n_bootstrap: int = N_BOOTSTRAP,
) -> Report:
    """Measure what is there, test it, and say how it was made.

    Args:
        comparison: Some of its cells may be missing.
        only: Some of its rows, which are then compared with each other alone; None for all.
        jobs: Processes at a time, where that is known.
        n_bootstrap: Resamples of users.
    """
    results = comparison.results(only)
    rows = [_row(result) for result in results]
    models = {row.name: row.measured for row in rows if row.measured is not None}
    names = [(p, g, m) for p in PROTOCOLS for g in GROUPS for m in SHOWN]
    learned = [name for name in models if not learns_nothing(name)]
    tests = against_best(
        models,
        names,
        numpy_generator(0, "comparison"),
        candidates=learned,
        n_bootstrap=n_bootstrap,
    )
    return Report(
        title=f"Comparison of models on {comparison.dataset.name}",
        lead=_lead(rows),
        rows=rows,
        tests=tests,
        facts=facts_of(comparison, results, jobs, n_bootstrap),
        notes=notes_of(comparison),
    )


def _row(result: Result) -> Row:
    finished = [o for o in result.outcomes.values() if o.status == "finished"]
    peaks = [o.peak_mb for o in finished if o.peak_mb is not None]
    return Row(
        name=result.name,
        is_rule=result.is_rule,
        measured=result.measured,
        n_seeds=result.n_seeds,
        epochs=_mean(o.training["selected_epoch"] for o in finished),
        train_seconds=_mean(o.training["train_seconds"] for o in finished),
        seconds=_mean(o.seconds for o in finished),
        peak_mb=max(peaks, default=None),
        remark=_remark(result),
    )


def _mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return sum(known) / len(known) if known else None


def _remark(result: Result) -> str:
    failed = {seed: o.error for seed, o in result.outcomes.items() if o.status == "failed"}
    parts = [f"seed {seed} failed: {error}" for seed, error in failed.items()]
    missing = 0 if result.is_rule and not result.outcomes else result.n_seeds - len(result.outcomes)
    if missing:
        parts.append(f"{missing} of {result.n_seeds} runs have not ended")
    return "; ".join(parts)


def _lead(rows: Sequence[Row]) -> str:
    n_models = sum(not row.is_rule for row in rows)
    sentences = [f"{n_models} models, beside rules that learn nothing."]
    for protocol in PROTOCOLS:
        name = (protocol, "all", "ndcg@10")
        means = {
            row.name: row.measured.mean(name)
            for row in rows
            if row.measured is not None and not learns_nothing(row.name)
        }
        means = {row: mean for row, mean in means.items() if not isnan(mean)}
        if means:
            best = max(means, key=lambda row: means[row])
            sentences.append(
                f"Highest NDCG@10 of a model under {protocol}: {best}, {means[best]:.4f}."
            )
    return " ".join(sentences)


def notes_of(comparison: Comparison) -> list[str]:
    """Return how figures are to be read: protocol, groups, selection, cost."""
    n_seeds = len(comparison.seeds)
    target = comparison.split.train.behaviors.target_name
    spread = "mean and standard deviation" if n_seeds > 1 else "one run each: no deviation"
    return [
        f"Every figure is over the users with held-out {target} pairs, of {n_seeds} "
        f"{'seeds' if n_seeds > 1 else 'seed'} of training ({spread}). full ranks all items that "
        f"the user does not have under {target}; 1+99 ranks the held-out item among {N_CANDIDATES} "
        "sampled ones, the same for every row and seed: never compare the two.",
        "touched: the user had another behavior with the item before, and it is ranked among such "
        "items; new: she had none, and it is ranked among the others. Ties count against a model.",
        "Epochs are selected on validation pairs, taken from the training data, unless a model's "
        "file says otherwise (`config.toml` in its folder); nothing was selected on test.",
        "The rules that stand in every table count all that is known at test time, the validation "
        "pairs too; a rule among the models counts the training pairs alone, as models do.",
        "Time and memory are those of each run's own process, others running beside it: compare "
        "them only with these.",
    ]


def facts_of(
    comparison: Comparison,
    results: Sequence[Result],
    jobs: int | None = None,
    n_bootstrap: int = N_BOOTSTRAP,
) -> dict[str, str]:
    """Return on what and where the cells ran: what -> value."""
    train = comparison.split.train
    outcomes = [o for result in results for o in result.outcomes.values() if o.machine]
    pairs = ", ".join(
        f"{name} {matrix.nnz:,}"
        for name, matrix in zip(train.behaviors, train.interactions, strict=True)
    )
    facts = {
        "dataset": str(comparison.dataset),
        "fingerprint": f"{comparison.fingerprint} (training data {train.fingerprint})",
        "size": f"{train.n_users:,} users, {train.n_items:,} items; training pairs: {pairs}",
        "split": comparison.split.description,
        "test pairs": f"{comparison.n_pairs:,}",
        "seeds": ", ".join(map(str, comparison.seeds)),
        "resamples of users": f"{n_bootstrap:,}",
        "platform": _distinct(outcomes, lambda o: o.machine["platform"]),
        "Python": _distinct(outcomes, lambda o: o.machine["python"]),
        "cores": _distinct(outcomes, lambda o: o.machine["n_cores"]),
        "threads of a process": _distinct(outcomes, lambda o: o.training["threads"]),
        "device": _distinct(outcomes, lambda o: o.machine["device"]),
        "versions": _distinct(outcomes, lambda o: _versions(o.training["versions"])),
    }
    if jobs is not None:
        facts["processes at a time"] = str(jobs)
    return facts


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _distinct(outcomes: Sequence[Outcome], read: Callable[[Outcome], Any]) -> str:
    """Return what all outcomes say; several things where they were made in several ways."""
    return "; ".join(dict.fromkeys(str(read(outcome)) for outcome in outcomes)) or "unknown"
