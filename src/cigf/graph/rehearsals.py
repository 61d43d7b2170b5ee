"""Rehearsals: the training graph as it would be if some purchases had not happened yet.

A model that learns from a purchase which its own graph, counts and similarities contain learns to
read it there, and finds nothing at test time. In a rehearsal one target interaction of each user
is hidden from everything, as the held-out ones are, and is what is to be found.

Axes: U users.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.gather_sum import Edges

NOTHING = -1
"""Stands for the hidden item of a user who hides none."""


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """A graph with interactions hidden.

    Args:
        graph: All behaviors, the target without the hidden interactions.
        hidden: The item that each user hides, or `NOTHING`; shape (U,).
    """

    graph: BehaviorGraph
    hidden: Int64[Tensor, "U"]


def rehearsals(
    graph: BehaviorGraph, number: int, share: float, generator: np.random.Generator
) -> list[Rehearsal]:
    """Hide one target interaction of a share of the users, several times.

    A user's interactions take turns in a random order, so that no two rehearsals hide the same
    one until all had their turn.

    Args:
        graph: The training graph.
        number: How many rehearsals.
        share: Probability that a user hides something.
        generator: Source of the draws.
    """
    edges = graph.to_users[-1]
    offsets = edges.offsets.cpu().numpy().astype(np.int64)
    counts = np.diff(offsets)
    owners = np.repeat(np.arange(len(counts)), counts)
    order = np.lexsort((generator.random(len(owners)), owners))
    result = []
    for turn in range(number):
        who = np.flatnonzero((counts > 0) & (generator.random(len(counts)) < share))
        places = order[offsets[who] + turn % counts[who]]
        result.append(_hide(graph, who, places))
    return result


def _hide(graph: BehaviorGraph, who: NDArray[np.int64], places: NDArray[np.int64]) -> Rehearsal:
    """Take the edges at some places of the target's out, in both directions."""
    edges = graph.to_users[-1]
    kept = torch.ones(len(edges.indices), dtype=torch.bool, device=graph.device)
    where = torch.from_numpy(places).to(graph.device)
    kept[where] = False
    left = torch.nn.functional.pad(kept.cumsum(0, dtype=edges.offsets.dtype), (1, 0))
    to_users = Edges(left[edges.offsets.long()], edges.indices[kept], edges.n_columns)
    hidden = torch.full((graph.n_users,), NOTHING, device=graph.device)
    hidden[torch.from_numpy(who).to(graph.device)] = edges.indices[where].long()
    without = BehaviorGraph(
        [*graph.to_users[:-1], to_users], [*graph.to_items[:-1], to_users.transpose()]
    )
    return Rehearsal(without, hidden)
