"""Dropout of edges: the graphs with each interaction left out at random."""

from typing import cast

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.functional import pad

from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.gather_sum import Edges


def drop_edges(graph: BehaviorGraph, rate: float) -> BehaviorGraph:
    """Leave out each interaction of each behavior with a probability, in both directions at once.

    Draws from torch's global generator. Degrees are those of what is left: scale by the degrees of
    `graph` and by 1 / (1 - rate) to keep the expected sums.

    Args:
        graph: The graphs.
        rate: Probability of leaving an interaction out; 0 returns `graph` itself.
    """
    if not rate:
        return graph
    to_users, to_items = [], []
    for behavior in range(graph.n_behaviors):
        by_user, by_item = graph.to_users[behavior], graph.to_items[behavior]
        kept = torch.rand(len(by_user.indices), device=graph.device) >= rate
        to_users.append(_keep(by_user, kept))
        to_items.append(_keep(by_item, kept[_places_by_item(graph, behavior)]))
    return BehaviorGraph(to_users, to_items)


def _keep(edges: Edges, kept: Bool[Tensor, "_edges"]) -> Edges:
    counts = pad(kept.cumsum(0, dtype=edges.offsets.dtype), (1, 0))
    return Edges(counts[edges.offsets], edges.indices[kept], edges.n_columns)


def _places_by_item(graph: BehaviorGraph, behavior: int) -> Int[Tensor, "_edges"]:
    """Where the edges, ordered by item, stand in their order by user; computed once per graph."""
    name = f"places by item {behavior}"
    if name not in graph.derived:
        graph.derived[name] = torch.argsort(graph.to_users[behavior].indices, stable=True)
    return cast(Tensor, graph.derived[name])
