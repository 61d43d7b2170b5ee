"""What a batch reads of a convolution: the last layers' rows that nobody reads are left out.

Axes: U users, I items, B behaviors, L layers.
"""

from dataclasses import replace

import torch
from jaxtyping import Int
from torch import Tensor

from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.propagation import Normalization, Propagation, propagate, propagate_all
from cigf.graph.side import positions
from cigf.shapes import Batch, Pairs

_WORTHWHILE = 0.6
"""Share of the edges that rows may have for the others to be left out: choosing costs time too."""


def steps_for(
    graph: BehaviorGraph,
    normalization: Normalization,
    n_layers: int,
    users: Int[Tensor, "u"] | None = None,
    items: Int[Tensor, "i"] | None = None,
) -> list[Propagation]:
    """Return one propagation per layer, for a chain in which each layer reads the one before it.

    The last gives the wanted nodes' rows. The one before it gives the rows of all users, and of
    the items that the last one or the wanted users read.

    Args:
        graph: The graph.
        normalization: How edges are weighted.
        n_layers: L.
        users: Users that are wanted of the last layer, in that order; all when None.
        items: Items that are wanted of the last layer, ascending; all when None.
    """
    complete = propagate_all(graph, normalization)
    if users is None and items is None:
        return [complete] * n_layers
    if users is None or items is None or n_layers == 1:
        last = propagate(graph, normalization, users, items)
        return [complete] * (n_layers - 1) + [last]
    senders = worthwhile(graph, union(graph, users, items))
    last = propagate(graph, normalization, users, items, senders)
    before = complete
    if senders is not None:
        before = propagate(graph, normalization, None, senders)
    return [complete] * (n_layers - 2) + [before, last]


def items_of(batch: Batch, n_items: int) -> Int[Tensor, "i"]:
    """Return the distinct items of a batch's pairs, ascending."""
    wanted = torch.zeros(n_items, dtype=torch.bool, device=batch.users.device)
    for pairs in batch.pairs:
        wanted[pairs.positives] = True
        wanted[pairs.negatives] = True
    return wanted.nonzero()[:, 0]


def renumbered(batch: Batch, items: Int[Tensor, "i"] | None, n_items: int) -> Batch:
    """Return a batch whose pairs name items by their place among some; itself where None are."""
    if items is None:
        return batch
    place = positions(items, n_items).long()
    pairs = (Pairs(each.rows, place[each.positives], place[each.negatives]) for each in batch.pairs)
    return replace(batch, pairs=tuple(pairs))


def worthwhile(graph: BehaviorGraph, items: Int[Tensor, "i"]) -> Int[Tensor, "i"] | None:
    """Return the items, or None for all, where so many edges are theirs that all may as well be."""
    degrees = graph.item_degrees()
    share = degrees[items].sum() / degrees.sum().clamp(min=1)
    return items if share < _WORTHWHILE else None


def union(
    graph: BehaviorGraph, users: Int[Tensor, "u"], items: Int[Tensor, "i"]
) -> Int[Tensor, "m"]:
    """Return the items and the users' neighbors under any behavior, ascending."""
    wanted = graph.neighbors(users)
    wanted[items] = True
    return wanted.nonzero()[:, 0]
