"""A catalog of a million items: start, latency of one list with and without an index, recall.

The items are made from those of a trained model, so that they come in groups, are of very unequal
popularity, and have gates as trained ones do: each lies between a trained item, drawn at random,
and one of its ten nearest by cosine, at a random point of the line, plus noise of .3 of their
distance in every coordinate. Users, gates' weights and histories are the trained model's; what a
user did with an item counts for the first item made of it.
"""

import shutil
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from benchmarks.bench_serving import EPOCHS
from benchmarks.common import FAST, Figure, Options, trained_run
from benchmarks.load import as_fast_as_possible, get
from benchmarks.served import Served
from cigf.data.dataset import Dataset, Matrix, build_matrix, pair_rows
from cigf.data.ids import IdMap
from cigf.experiment.config import load_experiment
from cigf.inference.artifact import Artifact, load_artifact, save_artifact
from cigf.inference.index import FOLDER, build_index
from cigf.inference.indexing import index_artifact
from cigf.inference.opened import Factors, open_artifact
from cigf.inference.quick import best
from cigf.inference.quick_model import SPARE
from cigf.inference.quick_scores import FactorScores
from cigf.models.base import Representations, Sizes
from cigf.models.registry import build_model, parse_model_config

N_ITEMS = 1_000_000
SIZES = (10_000, 30_000, 100_000, 300_000)
NEAR = 10
NOISE = 0.3


def run(
    options: Options,
    n_items: int = N_ITEMS,
    sizes: tuple[int, ...] = SIZES,
    seconds: float = 5.0,
) -> list[Figure]:
    """Make the catalog, serve it without and with an index."""
    config = load_experiment(FAST, [f"training.epochs={EPOCHS}"])
    trained = trained_run(options.dataset, options.work / "runs" / "serving", config).path
    folder = options.work / f"catalog-{n_items}"
    if not folder.exists():
        write_catalog(load_artifact(trained), folder, n_items)
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
    users = [str(user) for user in open_artifact(folder).history.users.ids.to_list()]
    figures = _served("exact", folder, users, seconds, options.repeats, must=25.0)
    start = time.perf_counter()
    _, found = index_artifact(folder)
    figures.append(Figure("building the index", time.perf_counter() - start, "s", 0))
    figures.append(Figure("recall@10 of the index", found.recall, "", 3, must=0.95, at_least=True))
    figures += _served("with index", folder, users, seconds, options.repeats, must=5.0)
    factors = open_artifact(folder).factors("buy")
    assert factors is not None
    for size in sizes:
        figures += _compared(factors, size)
    return figures


def write_catalog(artifact: Artifact, folder: Path, n_items: int) -> None:
    """Write the artifact of a larger catalog; see the module's words."""
    vectors = artifact.representations.items.numpy()
    items, parents = more_items(vectors, n_items, np.random.default_rng(0))
    _, first = np.unique(parents, return_index=True)
    place = np.full(len(vectors), -1)
    place[np.unique(parents)] = first
    history = artifact.history
    matrices = tuple(_moved(matrix, place, n_items) for matrix in history.interactions)
    ids = IdMap(pl.Series("id", np.arange(n_items)), "item")
    none = (None,) * len(matrices)
    name, plain = artifact.manifest.model, artifact.manifest.config
    sizes = Sizes(history.n_users, n_items, len(matrices))
    model = build_model(name, parse_model_config(name, plain), sizes, seed=0)
    model.get_submodule("head").load_state_dict(artifact.model.get_submodule("head").state_dict())
    save_artifact(
        folder,
        model=model,
        model_name=name,
        config=plain,
        representations=Representations(artifact.representations.users, torch.from_numpy(items)),
        history=Dataset(history.behaviors, history.users, ids, matrices, none),
    )


def more_items(
    vectors: NDArray[np.float32], n: int, generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return n items between near ones, and the first of the two that each was made of."""
    flat = vectors.reshape(len(vectors), -1)
    near = _nearest(flat, min(NEAR, len(flat) - 1))
    parents = generator.integers(0, len(flat), n)
    others = near[parents, generator.integers(0, near.shape[1], n)]
    way = flat[others] - flat[parents]
    made = flat[parents] + generator.random((n, 1), dtype=np.float32) * way
    made += NOISE * np.abs(way) * generator.standard_normal(made.shape, dtype=np.float32)
    return made.reshape(n, *vectors.shape[1:]), parents


def _nearest(flat: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    units = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
    rows = []
    for start in range(0, len(flat), 1000):
        cosines = units[start : start + 1000] @ units.T
        own = np.arange(len(cosines))
        cosines[own, start + own] = -np.inf
        rows.append(np.argpartition(-cosines, k - 1, axis=1)[:, :k])
    return np.concatenate(rows)


def _moved(matrix: Matrix, place: NDArray[np.int64], n_items: int) -> Matrix:
    users, items = pair_rows(matrix), place[matrix.indices]
    return build_matrix(users[items >= 0], items[items >= 0], (matrix.shape[0], n_items))


def _served(
    name: str, folder: Path, users: list[str], seconds: float, repeats: int, must: float
) -> list[Figure]:
    asked = [get(f"/recommend/{user}?k=10") for user in users]
    starts, halves, last, errors = [], [], [], 0
    for _ in range(repeats):
        with Served(folder) as server:
            starts.append(server.seconds)
            found = as_fast_as_possible(server.port, lambda n: asked[n % len(asked)], 1, seconds)
            halves.append(found.milliseconds(0.5))
            last.append(found.milliseconds(0.99))
            errors += found.errors
    return [
        Figure(f"start until ready, {name}", median(starts), "s", values=tuple(starts), must=5.0),
        Figure(f"one list, {name}, p50", median(halves), "ms", values=tuple(halves), must=must),
        Figure(f"one list, {name}, p99", median(last), "ms", values=tuple(last)),
        Figure(f"errors, {name}", errors, digits=0, must=0),
    ]


def _compared(factors: Factors, size: int) -> list[Figure]:
    """Time both ways in this process on the first items, without HTTP."""
    size = min(size, len(factors.items))
    gates = None if factors.item_gates is None else factors.item_gates[:size]
    few = replace(factors, items=factors.items[:size], item_gates=gates)
    scores, index = FactorScores(few, 0), build_index(few, "", "")
    exact, found = [], []
    for row in range(min(200, len(factors.users))):
        user = scores.trained(row)
        start = time.perf_counter()
        best(scores.score([user])[0], 10)
        exact.append(time.perf_counter() - start)
        start = time.perf_counter()
        candidates = index.find(user, 10 + SPARE)
        best(scores.score_some(user, candidates), 10)
        found.append(time.perf_counter() - start)
    return [
        Figure(f"{size:,} items in one process, exact, median", 1e3 * median(exact), "ms"),
        Figure(f"{size:,} items in one process, index, median", 1e3 * median(found), "ms"),
    ]
