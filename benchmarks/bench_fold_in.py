"""Users represented by events alone: seconds of one, and ranking with their embeddings hidden.

The fast setting is trained without the validation pairs, which then are ranked by every user's
representation as trained, with her embedding replaced by zero, and by the mean of all.
"""

import time

import torch

from benchmarks.common import FAST, Figure, Options, median_of, trained_run
from cigf.data.splitting import Split
from cigf.experiment.config import load_experiment
from cigf.experiment.evaluating import evaluate_scorer
from cigf.graph.bipartite import BehaviorGraph
from cigf.inference.artifact import Artifact, load_artifact
from cigf.models.base import Representations

USERS = 400
"""Users who are timed one by one."""


def run(options: Options) -> list[Figure]:
    """Train or take the run, then fold all of its users in."""
    config = load_experiment(FAST, ["data.train_on=train"])
    folder = trained_run(options.dataset, options.work / "runs" / "fold-in", config)
    with torch.no_grad():
        return _measure(load_artifact(folder.path), options.split(), options.repeats)


def _measure(artifact: Artifact, split: Split, repeats: int) -> list[Figure]:
    graph = BehaviorGraph.build(split.train.interactions)
    everyone = torch.arange(graph.n_users)
    trained = artifact.representations.users
    folded = artifact.model.fold_in(artifact.memory, graph.to_users, everyone)
    difference = (folded - trained).abs().max().item() / trained.abs().max().item()
    figures = _timed(artifact, graph, repeats)
    figures.append(Figure("relative difference to the trained rows", difference, digits=9))
    hidden = artifact.model.fold_in(artifact.memory, graph.to_users, torch.full_like(everyone, -1))
    figures += _ranked("as trained", artifact, trained, split)
    figures += _ranked("own embedding zero", artifact, hidden, split)
    return figures + _ranked("own embedding the mean", artifact, _mean(artifact, graph), split)


def _mean(artifact: Artifact, graph: BehaviorGraph) -> torch.Tensor:
    """Every user's representation with the mean embedding in the place of her own."""
    table = artifact.model.get_parameter("user_embedding")
    before = table.clone()
    table.copy_(before.mean(0).expand_as(before))
    users = torch.arange(graph.n_users)
    folded = artifact.model.fold_in(artifact.memory, graph.to_users, users)
    table.copy_(before)
    return folded


def _timed(artifact: Artifact, graph: BehaviorGraph, repeats: int) -> list[Figure]:
    users = [torch.tensor([user]) for user in range(min(USERS, graph.n_users))]
    events = [[edges.select(user) for edges in graph.to_users] for user in users]
    medians = []
    for _ in range(repeats):
        seconds = []
        for user, hers in zip(users, events, strict=True):
            start = time.perf_counter()
            artifact.model.fold_in(artifact.memory, hers, user)
            seconds.append(time.perf_counter() - start)
        medians.append(1e3 * sorted(seconds)[len(seconds) // 2])
    return [median_of("one user, median", medians, "ms", must=1.0)]


def _ranked(name: str, artifact: Artifact, users: torch.Tensor, split: Split) -> list[Figure]:
    target = split.train.behaviors.target
    scorer = artifact.model.scorer(Representations(users, artifact.representations.items), target)
    metrics = evaluate_scorer(scorer, split, part="valid", ks=(10,))["metrics"]
    return [
        Figure(f"ndcg@10/{protocol}, {name}", groups["all"]["ndcg@10"], digits=4)
        for protocol, groups in metrics.items()
    ]
