"""How much the gates of a multi-task head give to each expert (the paper's figure 9).

Axes: n pairs, B behaviors, D embedding size, E experts that a task sees.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from cigf.data.behaviors import Behaviors
from cigf.errors import ConfigError
from cigf.models.base import MultiTaskRecommender, Recommender, Representations
from cigf.nn.experts import GatedExpertsHead
from cigf.nn.heads import Head, MESIHead

_PAIRS_AT_ONCE = 1 << 15


def has_gates(model: Recommender) -> bool:
    """Tell whether a model's head weighs experts."""
    return isinstance(model, MultiTaskRecommender) and isinstance(
        model.head, MESIHead | GatedExpertsHead
    )


@torch.no_grad()
def expert_utilization(
    model: Recommender,
    representations: Representations,
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    behaviors: Behaviors,
    tasks: Sequence[str] | None = None,
) -> pl.DataFrame:
    """Return the mean weight that each task's gate gives to each expert over some pairs.

    Args:
        model: With a MESI, MMOE or PLE head.
        representations: Its encoded users and items.
        users: User of each pair, shape (n,); the paper takes the test pairs.
        items: Item of each pair, shape (n,).
        behaviors: Names of the tasks.
        tasks: Which tasks; default: all.

    Returns:
        Columns task, expert, weight (mean; the weights of a task sum to 1), deviation (standard
        deviation over the pairs).

    Raises:
        ConfigError: The model has no gates.
        DataError: There is no such task.
    """
    if not isinstance(model, MultiTaskRecommender) or not has_gates(model):
        raise ConfigError("this model's head has no gates; heads with gates: mesi, mmoe, ple")
    pairs = torch.from_numpy(users), torch.from_numpy(items)
    rows = []
    for task in tasks if tasks is not None else behaviors.names:
        number = behaviors.index(task)
        weights = gate_weights(model.head, representations, pairs, number).double()
        names = expert_names(model.head, behaviors, number)
        means, spreads = weights.mean(0).tolist(), weights.std(0, correction=0).tolist()
        for name, mean, spread in zip(names, means, spreads, strict=True):
            rows.append({"task": task, "expert": name, "weight": mean, "deviation": spread})
    return pl.DataFrame(rows)


def gate_weights(
    head: Head,
    representations: Representations,
    pairs: tuple[Int64[Tensor, "n"], Int64[Tensor, "n"]],
    task: int,
) -> Float[Tensor, "n E"]:
    """Return what a task's gate gives to each expert that it sees, for some (users, items)."""
    assert isinstance(head, MESIHead | GatedExpertsHead)
    blocks = zip(*(torch.split(side, _PAIRS_AT_ONCE) for side in pairs), strict=True)
    return torch.cat(
        [
            head.gate_weights(representations.users[users], representations.items[items], task)
            for users, items in blocks
        ]
    )


def expert_names(head: Head, behaviors: Behaviors, task: int) -> list[str]:
    """Return the names of the experts that a task sees: a behavior's, one task's own, or shared."""
    if not isinstance(head, GatedExpertsHead):
        return list(behaviors)
    names = []
    for expert in head.visible[task]:
        owners = [
            name for name, seen in zip(behaviors, head.visible, strict=True) if expert in seen
        ]
        names.append(f"{owners[0]} {expert + 1}" if len(owners) == 1 else f"shared {expert + 1}")
    return names
