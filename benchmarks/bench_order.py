"""Another order of users and items: what sums over edges gain from rows that lie beside each other.

Every order numbers the nodes of the same graph anew, and one pass over all edges, both ways, is
timed with rows of 64 numbers (four behaviors, 16 dimensions). As they are: as `cigf data` numbers
them. At random. By degree: the most popular first, so that rows that are often read share pages.
By neighbors: reverse Cuthill-McKee, which puts nodes beside those that they interact with.

On two logs: of Taobao's size without tastes, and a made-up shop's with planted tastes, whose users
have neighbors in common (`cigf data generate`).
"""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import block_array
from scipy.sparse.csgraph import reverse_cuthill_mckee

from benchmarks.bench_ranks import large_dataset
from benchmarks.bench_scale import dataset
from benchmarks.common import Figure, Options, median_of, say
from benchmarks.power_law import TAOBAO, Size
from cigf.compiled import arrays, threads_for_kernels
from cigf.compiled import run as run_parts
from cigf.data.dataset_store import load_split
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.propagation import propagate_all
from cigf.graph.side import Side

WIDTH = 64

Order = NDArray[np.int64]
Orders = tuple[Order, Order]
"""Of users, and of items: who is first, second, ..."""


def run(options: Options, size: Size = TAOBAO) -> list[Figure]:
    """Measure both logs."""
    logs = {
        "without tastes": dataset(options, "taobao", size),
        "with tastes": large_dataset(options.work),
    }
    figures = []
    for name, folder in logs.items():
        matrices = load_split(folder).train.interactions
        orders: dict[str, Callable[[Sequence[Any]], Orders]] = {
            "as they are": as_they_are,
            "at random": at_random,
            "by degree": by_degree,
            "by neighbors": by_neighbors,
        }
        seconds = {}
        for order, choose in orders.items():
            say(f"order: {name}, {order}")
            seconds[order] = _pass(renumbered(matrices, choose(matrices)), options.repeats)
        first, *others = (
            median_of(f"{name}, {order}: a pass over all edges", each, "s", digits=4)
            for order, each in seconds.items()
        )
        figures.append(first)
        for figure in others:
            gain = statistics.median(figure.values) / statistics.median(first.values)
            figures += [figure, Figure(f"{figure.name}, of that as they are", gain)]
    return figures


def as_they_are(matrices: Sequence[Any]) -> Orders:
    """No other order."""
    n_users, n_items = matrices[0].shape
    return np.arange(n_users), np.arange(n_items)


def at_random(matrices: Sequence[Any]) -> Orders:
    """Any order."""
    generator = np.random.default_rng(0)
    n_users, n_items = matrices[0].shape
    return generator.permutation(n_users), generator.permutation(n_items)


def by_degree(matrices: Sequence[Any]) -> Orders:
    """Those with the most interactions first."""
    total = sum(matrices)
    users, items = (np.asarray(total.sum(axis)).ravel() for axis in (1, 0))
    return np.argsort(-users, kind="stable"), np.argsort(-items, kind="stable")


def by_neighbors(matrices: Sequence[Any]) -> Orders:
    """Reverse Cuthill-McKee of users and items together, then of each among themselves."""
    total = sum(matrices)
    n_users = total.shape[0]
    both = block_array([[None, total], [total.T, None]], format="csr")
    order = reverse_cuthill_mckee(both, symmetric_mode=True).astype(np.int64)
    return order[order < n_users], order[order >= n_users] - n_users


def renumbered(matrices: Sequence[Any], orders: Orders) -> list[Any]:
    """The same interactions with users and items in another order."""
    users, items = orders
    return [matrix[users][:, items].tocsr() for matrix in matrices]


def _pass(matrices: Sequence[Any], repeats: int) -> list[float]:
    """Seconds of sums over all edges, at the users and at the items; the first is not counted."""
    from cigf.graph.kernels import gather_total  # needs numba, which the other benchmarks do not

    steps = propagate_all(BehaviorGraph.build(matrices), "row")
    sides: list[Side] = [steps.to_users, steps.to_items]
    given = [
        arrays(torch.ones(1, side.n_columns, WIDTH), side.receive, torch.zeros(rows, WIDTH))
        for side, rows in ((side, side.stack.n_rows) for side in sides)
    ]
    seconds = []
    with threads_for_kernels():
        for _ in range(1 + repeats):
            start = time.perf_counter()
            for side, tensors in zip(sides, given, strict=True):
                stack = side.stack
                edges = stack.starts, stack.stops, stack.indices
                run_parts(gather_total, stack.borders, *edges, *tensors)
            seconds.append(time.perf_counter() - start)
    return seconds[1:]
