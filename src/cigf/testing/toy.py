"""Small datasets and batches for the contract suite; sizes of axes are different primes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from cigf.data.behaviors import Behaviors
from cigf.data.dataset import Dataset, Matrix, build_matrix
from cigf.data.ids import IdMap
from cigf.graph.bipartite import BehaviorGraph
from cigf.models.base import Recommender
from cigf.ranking import Scorer
from cigf.sampling.config import SamplingConfig
from cigf.sampling.users import UserSampler
from cigf.shapes import Batch, Learns
from cigf.training.config import TrainingConfig
from cigf.training.optimizers import build_optimizer


def random_matrices(
    seed: int = 0, n_users: int = 7, n_items: int = 11, n_behaviors: int = 3
) -> tuple[Matrix, ...]:
    """Return random behaviors, deeper ones sparser; user 0 and item 0 have no edges at all."""
    generator = np.random.default_rng(seed)
    matrices = []
    for behavior in range(n_behaviors):
        dense = generator.random((n_users, n_items)) < 0.6 / (behavior + 1)
        dense[0] = False
        dense[:, 0] = False
        dense[1, 1] = True  # no behavior is empty
        users, items = np.nonzero(dense)
        matrices.append(build_matrix(users, items, (n_users, n_items)))
    return tuple(matrices)


def permuted(
    matrices: Sequence[Matrix], users: NDArray[np.int64], items: NDArray[np.int64]
) -> tuple[Matrix, ...]:
    """Rename users and items: row r of the result is row users[r] of the original."""
    result = []
    for matrix in matrices:
        dense = matrix.toarray()[users][:, items]
        rows, columns = np.nonzero(dense)
        result.append(build_matrix(rows, columns, matrix.shape))
    return tuple(result)


def toy_dataset(matrices: Sequence[Matrix]) -> Dataset:
    """Give matrices ids and names."""
    n_users, n_items = matrices[0].shape
    return Dataset(
        Behaviors(tuple(f"behavior{k}" for k in range(len(matrices)))),
        IdMap(pl.Series([f"u{user}" for user in range(n_users)]), "user"),
        IdMap(pl.Series([f"i{item}" for item in range(n_items)]), "item"),
        tuple(matrices),
        (None,) * len(matrices),
    )


def one_batch(
    matrices: Sequence[Matrix],
    seed: int = 0,
    learns: Learns = "behaviors",
    sampling: Mapping[str, Any] | None = None,
) -> Batch:
    """Sample one batch with all users."""
    sizes = {"users_per_epoch": matrices[0].shape[0], "batch_size": matrices[0].shape[0]}
    config = SamplingConfig.parse({"positives_per_user": 5, **(sampling or {}), **sizes})
    return next(UserSampler(matrices, config, seed, learns=learns).epoch(0))


def train_steps(
    model: Recommender,
    matrices: Sequence[Matrix],
    n_steps: int,
    learning_rate: float = 0.01,
    batch: Batch | None = None,
    sampling: Mapping[str, Any] | None = None,
    done: Callable[[list[float]], bool] | None = None,
) -> list[float]:
    """Train by Adam, on one fixed batch or on new ones; return the losses.

    Ends before `n_steps` where `done`, called after each step with the losses so far, says so.
    """
    graph = BehaviorGraph.build(matrices)
    options = TrainingConfig.parse({"learning_rate": learning_rate, "l2": 0.0})
    optimizer = build_optimizer(model, options)
    losses = []
    with torch.random.fork_rng([]):
        for step in range(n_steps):
            used = batch or one_batch(matrices, step, model.learns, sampling)
            torch.manual_seed(step)
            optimizer.zero_grad()
            loss = model(graph, used).sum()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if done is not None and done(losses):
                break
    return losses


@torch.no_grad()
def all_scores(
    model: Recommender, matrices: Sequence[Matrix], behavior: int = -1
) -> NDArray[np.float32]:
    """Score every user with every item, shape (U, I)."""
    graph = BehaviorGraph.build(matrices)
    training = model.training
    model.eval()
    scorer: Scorer = model.scorer(model.encode(graph), behavior % len(matrices))
    model.train(training)
    scores: NDArray[np.float32] = scorer.block(torch.arange(graph.n_users)).numpy()
    return scores
