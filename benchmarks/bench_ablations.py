"""What each part of CIGF+ brings: trained without it, several seeds, paired tests.

The whole model's runs are those of the benchmark `plus`; all other trainings with one seed share
its rehearsals, which take longer than a training. Ranks are kept in the work folder, so a benchmark
that was stopped can be continued.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

from benchmarks.bench_plus import PLUS, run_of
from benchmarks.common import Figure, Options, say
from cigf.data.splitting import Split
from cigf.data.tasks import RankCounts, RankingTask
from cigf.evaluation.evaluator import evaluation_task
from cigf.evaluation.over_seeds import Measured, load_counts, over_seeds, save_counts
from cigf.evaluation.significance import holm, wilcoxon
from cigf.experiment.config import load_experiment
from cigf.experiment.training import fit_split
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.evidence import FeatureGroup
from cigf.inference.artifact import load_artifact
from cigf.nn.pair_terms import Term
from cigf.ranking import Scorer, rank_counts

WHOLE = "nothing"
PARTS: tuple[str, ...] = (WHOLE, *get_args(FeatureGroup), *get_args(Term))
SHOWN = (("all", "hr@10"), ("all", "ndcg@10"), ("new", "hr@10"), ("touched", "hr@10"))


def run(options: Options, parts: Sequence[str] = PARTS) -> list[Figure]:
    """Train and rank what is missing, then compare with what has all parts."""
    split = options.split()
    folder = options.work / "ablations"
    folder.mkdir(exist_ok=True)
    for seed in options.seeds:
        if not _file(folder, WHOLE, seed).exists():
            _keep(load_artifact(run_of(options, seed).path).scorer(), split, folder, WHOLE, seed)
        _rank(split, folder, seed, [part for part in parts if part != WHOLE])
    measured = {part: _measured(split, folder, part, options.seeds) for part in parts}
    tests = dict(_tests(measured))
    return [
        Figure(
            _name(part, group, metric, tests.get((part, group, metric))),
            measured[part].mean(("full", group, metric)),
            digits=4,
            values=tuple(measured[part].per_seed[:, _column(measured[part], group, metric)]),
        )
        for part in parts
        for group, metric in SHOWN
    ]


def _rank(split: Split, folder: Path, seed: int, parts: Sequence[str]) -> None:
    """Train without each part, and store the ranks of the test pairs."""
    missing = [part for part in parts if not _file(folder, part, seed).exists()]
    learned = split.history("test")
    graph = BehaviorGraph.build(learned.interactions, times=learned.times)
    for part in missing:
        config = load_experiment(PLUS, [f"seed={seed}", f"model.without={[part]}"])
        with TemporaryDirectory() as checkpoints:
            fitted = fit_split(split, config, Path(checkpoints), device="cpu", graph=graph)
        scorer = fitted.model.scorer(fitted.representations, len(learned.behaviors) - 1)
        _keep(scorer, split, folder, part, seed)


def _keep(scorer: Scorer, split: Split, folder: Path, part: str, seed: int) -> None:
    save_counts(rank_counts(scorer, evaluation_task(split).task), _file(folder, part, seed))
    say(f"ablations: seed {seed}, without {part}")


def _file(folder: Path, part: str, seed: int) -> Path:
    return folder / f"{part}-{seed}.parquet"


def _measured(split: Split, folder: Path, part: str, seeds: tuple[int, ...]) -> Measured:
    task = evaluation_task(split, protocols=["full"])
    files = [_file(folder, part, seed) for seed in seeds]
    return over_seeds(task.run(partial(_kept, file)) for file in files)


def _kept(file: Path, _: RankingTask) -> RankCounts:
    return load_counts(file)


def _tests(measured: dict[str, Measured]) -> Iterator[tuple[tuple[str, str, str], float]]:
    """Yield Wilcoxon's p of users' means over the seeds against the whole model, after Holm."""
    others = [part for part in measured if part != WHOLE]
    for group, metric in SHOWN:
        if not measured[WHOLE].n_pairs[group]:
            continue
        name = ("full", group, metric)
        found = [
            wilcoxon(measured[part].users(name), measured[WHOLE].users(name)) for part in others
        ]
        keys = [(part, group, metric) for part in others]
        yield from zip(keys, holm(found), strict=True)


def _column(measured: Measured, group: str, metric: str) -> int:
    return measured.names.index(("full", group, metric))


def _name(part: str, group: str, metric: str, p: float | None) -> str:
    tested = "" if p is None else f", p {p:.2g}"
    return f"without {part}: {metric}/full/{group}{tested}"
