"""Old and new model on the same held-out pairs, among the items that both know."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from cigf.data.appending import Appended, first_items
from cigf.data.dataset import Dataset
from cigf.data.ids import UNKNOWN
from cigf.data.splitting import HeldOut, Split
from cigf.data.tasks import ranking_task
from cigf.errors import ConfigError
from cigf.evaluation.evaluator import Evaluation, EvaluationTask
from cigf.evaluation.metrics import metric_names
from cigf.evaluation.significance import paired_bootstrap
from cigf.experiment.evaluating import REFERENCES
from cigf.experiment.training import Fitted
from cigf.inference.artifact import Artifact
from cigf.inference.fold_in import beside_one_item, represent
from cigf.ranking import Scorer, rank_counts
from cigf.ranking.restricted import FirstItems
from cigf.seeding import numpy_generator

METRIC = "ndcg@10"
"""What the difference is of."""
BEFORE, FOLDED, AFTER = "before", "before, folded in", "after"

_Audiences = dict[str, HeldOut]


def judge_update(
    old: Artifact, fitted: Fitted, split: Split, appended: Appended, n_bootstrap: int
) -> dict[str, Any]:
    """Measure the old and the new model on the held-out pairs of an update.

    Every scorer ranks the items that the old model knows, without those that the user has the
    target of. "before" is the old model as it was; "before, folded in" is the old model with its
    users represented by all that they did since (`fold_in`), where it can do that; "after" is the
    updated one.

    Returns:
        protocol (in words), and `audiences`: for "known users" and "new users", where there are
        some, n (pairs), metrics (scorer -> group -> metric) and difference (of NDCG@10 over all
        pairs: after less the better one of before; mean, low, high).
    """
    target = split.train.behaviors.target
    held_out = split.test.get(split.train.behaviors.target_name)
    history = first_items(split.train, appended.n_items)
    known = history.n_users - appended.n_new_users
    audiences: _Audiences = {}
    if held_out is not None:
        inside = held_out.users < known
        for name, mask in (("known users", inside), ("new users", ~inside)):
            if mask.any():
                audiences[name] = HeldOut(held_out.users[mask], held_out.items[mask])
    found = {}
    for name, pairs in audiences.items():
        scorers = dict(_scorers(old, fitted, history, target, name == "known users"))
        found[name] = _measure(scorers, history, pairs, target, n_bootstrap)
    words = (
        f"{split.description}; ranked among the {appended.n_items:,} items that the old model knows"
    )
    return {"protocol": words, "audiences": found}


def _scorers(
    old: Artifact, fitted: Fitted, history: Dataset, target: int, are_known: bool
) -> Iterator[tuple[str, Scorer]]:
    for name, build in REFERENCES.items():
        yield name, build(history, target)
    trained = old.scorer()
    if are_known:
        yield BEFORE, trained
    if _can_fold_in(old, history):
        yield FOLDED, _FoldedScorer(old, trained, history, target)
    with torch.no_grad():
        after = fitted.model.scorer(fitted.representations, target)
    yield AFTER, FirstItems(after, history.n_items)


def _can_fold_in(old: Artifact, history: Dataset) -> bool:
    try:
        represent(old, [matrix[:0] for matrix in history.interactions], np.empty(0, np.int64))
    except ConfigError:
        return False
    return True


class _FoldedScorer(Scorer):
    """An old model's scores of users whom it represents, block by block, by all that they did."""

    def __init__(self, old: Artifact, trained: Scorer, history: Dataset, target: int) -> None:
        self._old = old
        self._trained = trained
        self._history = history
        self._target = target

    @property
    def n_users(self) -> int:
        return self._history.n_users

    @property
    def n_items(self) -> int:
        return self._history.n_items

    @torch.no_grad()
    def block(self, users: Int64[Tensor, "b"]) -> Float[Tensor, "b I"]:
        chosen = users.numpy()
        done = [matrix[chosen] for matrix in self._history.interactions]
        rows = np.where(chosen < self._old.history.n_users, chosen, UNKNOWN)
        them = beside_one_item(self._old, represent(self._old, done, rows))
        mine = self._trained.with_users(self._old.model.scorer(them, self._target))
        return mine.block(torch.arange(len(chosen)))

    def pairs(self, users: Int64[Tensor, "n"], items: Int64[Tensor, "n"]) -> Float[Tensor, "n"]:
        return self.block(users)[torch.arange(len(users)), items]


def _measure(
    scorers: dict[str, Scorer], history: Dataset, pairs: HeldOut, target: int, n_bootstrap: int
) -> dict[str, Any]:
    task = EvaluationTask(
        ranking_task(history, pairs, target),
        history.users.external(np.unique(pairs.users)),
        ("full",),
        metric_names(("hr", "ndcg"), (10,)),
    )
    results = {name: task.run(partial(rank_counts, scorer)) for name, scorer in scorers.items()}
    n = results[AFTER].n_pairs
    return {
        "n": n,
        "metrics": {name: result.to_json()["metrics"]["full"] for name, result in results.items()},
        "difference": _difference(results, n_bootstrap),
    }


def _difference(results: dict[str, Evaluation], n_bootstrap: int) -> dict[str, Any] | None:
    values = {
        name: results[name].column("full", "all", METRIC)
        for name in (BEFORE, FOLDED)
        if name in results
    }
    if not values or not n_bootstrap:
        return None
    best = max(values, key=lambda name: float(values[name].mean()))
    after = results[AFTER].column("full", "all", METRIC)
    generator = numpy_generator(0, "bootstrap")
    compared = paired_bootstrap(after, values[best], generator, n_bootstrap)
    return {
        "metric": METRIC,
        "against": best,
        "mean": compared.difference,
        "low": compared.low,
        "high": compared.high,
    }
