"""Judging a model on held-out pairs, always beside popularity and the touched-first rule."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from cigf.data.dataset import Dataset
from cigf.data.dataset_store import load_split
from cigf.data.splitting import Part, Split
from cigf.distributed.exchange import Ranks
from cigf.distributed.model import RankModel
from cigf.distributed.ranking import rank_share
from cigf.distributed.setting import RankSetting
from cigf.errors import DataError
from cigf.evaluation.evaluator import DEFAULT_KS, EvaluationTask, Rank, evaluation_task
from cigf.evaluation.protocols import lookup
from cigf.experiment.config import ExperimentConfig
from cigf.experiment.devices import choose_device
from cigf.experiment.folder import RunFolder
from cigf.graph.bipartite import BehaviorGraph
from cigf.inference.artifact import load_artifact
from cigf.models.base import Recommender
from cigf.models.popularity import popularity_factors
from cigf.models.touched_first import touched_first_factors
from cigf.ranking import Scorer, rank_counts
from cigf.seeding import numpy_generator
from cigf.storage import write_json
from cigf.training.trainer import Validate

REFERENCES: dict[str, Callable[[Dataset, int], Scorer]] = {
    "popularity": popularity_factors,
    "touched_first": touched_first_factors,
}
"""Rules without learning that stand in every table of results."""


def validator(
    split: Split,
    config: ExperimentConfig,
    graph: BehaviorGraph,
    setting: RankSetting | None = None,
) -> Validate | None:
    """Return the function that measures a model on the validation pairs; None without any.

    Args:
        split: The data.
        config: What is measured.
        graph: What the model encodes.
        setting: Of a run on several ranks.
    """
    behaviors = split.train.behaviors
    held_out = split.valid.get(behaviors.target_name)
    if held_out is None or not len(held_out):
        return None
    wanted = config.evaluation
    task = evaluation_task(
        split,
        part="valid",
        protocols=wanted.protocols,
        ks=wanted.ks,
        candidate_seed=wanted.candidate_seed,
    )

    def validate(model: Recommender) -> dict[str, float]:
        was_training = model.training
        model.eval()
        if setting is not None and isinstance(model, RankModel):
            rank: Rank = partial(setting.rank_counts, model, behaviors.target)
        else:
            with torch.no_grad():
                rank = partial(rank_counts, model.scorer(model.encode(graph), behaviors.target))
        model.train(was_training)
        return _flat(task.run(rank).means(), config.training.metric)

    return validate


def evaluate_scorer(
    scorer: Scorer,
    split: Split,
    *,
    part: Part = "test",
    behavior: str | None = None,
    protocols: Sequence[str] = ("full", "1+99"),
    ks: Sequence[int] = DEFAULT_KS,
    candidate_seed: int = 0,
    n_bootstrap: int = 0,
    per_user: Path | None = None,
    ranks: Ranks | None = None,
) -> dict[str, Any]:
    """Measure a scorer and the references on one part of a split.

    Args:
        scorer: The model's scores for `behavior`.
        split: The data.
        part: "test" or "valid".
        behavior: Whose held-out pairs; None for the target's.
        protocols: "full", "1+99" or both.
        ks: Cut-offs.
        candidate_seed: Which candidates of 1+99.
        n_bootstrap: Resamples for 95 % intervals of the means; 0 for none.
        per_user: Where to write each user's values as Parquet; rank 0 does.
        ranks: Those who share the users; None: this process ranks all.

    Returns:
        Plain values: n, metrics (protocol -> group -> metric), intervals where wanted, and
        reference (rule -> protocol -> group -> metric).

    Raises:
        DataError: Nothing is held out for that behavior.
    """
    task = evaluation_task(
        split,
        part=part,
        behavior=behavior,
        protocols=protocols,
        ks=ks,
        candidate_seed=candidate_seed,
    )
    result = task.run(_ranking(scorer, ranks))
    if per_user is not None and (ranks is None or ranks.rank == 0):
        result.to_parquet(per_user)
    generator = numpy_generator(candidate_seed, "bootstrap")
    intervals = result.intervals(generator, n_bootstrap) if n_bootstrap else None
    return {
        **result.to_json(intervals),
        "reference": _references(task, split.history(part), behavior, ranks),
    }


def _ranking(scorer: Scorer, ranks: Ranks | None) -> Rank:
    if ranks is None:
        return partial(rank_counts, scorer)
    return partial(rank_share, scorer, ranks=ranks)


def evaluate_references(
    split: Split, *, part: Part = "test", behavior: str | None = None
) -> dict[str, Any]:
    """Measure only the rules without learning; see `evaluate_scorer`."""
    task = evaluation_task(split, part=part, behavior=behavior)
    return _references(task, split.history(part), behavior)


def evaluate_run(
    run: Path,
    *,
    dataset: Path | None = None,
    part: Part = "test",
    behavior: str | None = None,
    protocols: Sequence[str] = ("full", "1+99"),
    ks: Sequence[int] = DEFAULT_KS,
    candidate_seed: int = 0,
    per_user: Path | None = None,
    n_bootstrap: int = 1000,
    device: str = "cpu",
    ranks: Ranks | None = None,
) -> dict[str, Any]:
    """Judge a finished run and write the result as RUN/evaluation.json.

    Args:
        run: The run's folder.
        dataset: A dataset with the same training data; None takes the run's own.
        part: "test" or "valid".
        behavior: Whose held-out pairs; None for the target's.
        protocols: "full", "1+99" or both.
        ks: Cut-offs.
        candidate_seed: Which candidates of 1+99.
        per_user: Where to write each user's values as Parquet.
        n_bootstrap: Resamples for 95 % intervals; 0 for none.
        device: Where the model's scores are computed: "auto", "cpu" or "cuda".
        ranks: Those who share the users, of whom rank 0 writes; None: this process does all.

    Raises:
        ArtifactError: The run is unfinished or damaged.
        DataError: The dataset is another than the one that was trained on, or holds nothing out.
        ConfigError: The device is unknown or not there.
    """
    chosen = choose_device(device)
    folder = RunFolder(run)
    info = folder.read_info()
    artifact = load_artifact(run)
    split = load_same(dataset or Path(info["dataset"]), info["fingerprint"])
    measured = evaluate_scorer(
        artifact.scorer(behavior, chosen),
        split,
        part=part,
        behavior=behavior,
        protocols=protocols,
        ks=ks,
        candidate_seed=candidate_seed,
        n_bootstrap=n_bootstrap,
        per_user=per_user,
        ranks=ranks,
    )
    name = behavior or split.train.behaviors.target_name
    result = {"run": str(run), "split": part, "behavior": name, **measured}
    if ranks is None or ranks.rank == 0:
        write_json(folder.evaluation, result)
    return result


def load_same(dataset: Path, fingerprint: str) -> Split:
    """Read the split that a run was trained on.

    Raises:
        DataError: It is not there, or its training data are not those of the fingerprint.
    """
    split = load_split(dataset)
    if split.train.fingerprint != fingerprint:
        raise DataError(
            f"{dataset}: its training data are not those of the run "
            f"(fingerprint {split.train.fingerprint}, the run's is {fingerprint}); "
            "name the run's dataset with --dataset, or train again"
        )
    return split


def _references(
    task: EvaluationTask, history: Dataset, behavior: str | None, ranks: Ranks | None = None
) -> dict[str, Any]:
    behaviors = history.behaviors
    number = behaviors.target if behavior is None else behaviors.index(behavior)
    return {
        name: task.run(_ranking(build(history, number), ranks)).to_json()["metrics"]
        for name, build in REFERENCES.items()
    }


def _flat(means: dict[str, dict[str, dict[str, float]]], selecting: str) -> dict[str, float]:
    """The selecting metric, and hr@10 and ndcg@10 of every protocol over all pairs."""
    flat = {selecting: lookup(means, selecting)}
    for protocol, groups in means.items():
        for metric in ("hr@10", "ndcg@10"):
            if metric in groups["all"]:
                flat[f"{metric}/{protocol}"] = groups["all"][metric]
    return flat
