"""Adjacency: a normalized matrix over all nodes, built of one or more behaviors' edges.

    S = P (w_1 A_1 + ... + w_B A_B + I) Q,    with or without the self loops I

where A_b are the edges of behavior b, and the diagonal P and Q are powers of the rows' sums of
the bracket. The (N, N) matrix itself is never built.

Axes: U users, I items, B behaviors, F width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, cast

import torch
from torch import Tensor

from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.dropout import drop_edges
from cigf.graph.propagation import POWERS, Normalization
from cigf.shapes import Nodes

GraphName = Literal["target", "union", "weighted", "per-behavior"]
"""Which edges a model of one graph is given: the target's; those that any behavior has; every
behavior's, added up with weights; or one graph for each behavior."""


@dataclass(frozen=True)
class Adjacency:
    """One normalized matrix.

    Args:
        graph: The edges.
        weights: Of each behavior's edges.
        receive: The diagonal P, (U, 1) and (I, 1).
        send: The diagonal Q, or None where it is all ones.
        loops: Weights of the self loops, (U, 1) and (I, 1), or None without them.
    """

    graph: BehaviorGraph
    weights: Sequence[float]
    receive: Nodes
    send: Nodes | None
    loops: Nodes | None

    @classmethod
    def build(
        cls,
        graph: BehaviorGraph,
        weights: Sequence[float],
        normalization: Normalization,
        *,
        self_loops: bool = False,
    ) -> "Adjacency":
        """Compute the diagonals from the degrees."""
        weight = torch.tensor(weights, dtype=torch.float32, device=graph.device)
        own = 1.0 if self_loops else 0.0
        sums = graph.degree_powers(1.0).map(lambda degrees: (degrees @ weight)[:, None] + own)
        receive, send = POWERS[normalization]
        return cls(
            graph,
            tuple(weights),
            sums.map(lambda each: _power(each, receive)),
            sums.map(lambda each: _power(each, send)) if send else None,
            sums.map(torch.ones_like) if self_loops else None,
        )

    def __call__(self, x: Nodes) -> Nodes:
        """Return S x, with x of shapes (U, F) and (I, F)."""
        sent = x if self.send is None else _each(torch.mul, x, self.send)
        total = None if self.loops is None else _each(torch.mul, sent, self.loops)
        for behavior, weight in enumerate(self.weights):
            sums = self.graph.gather_sum(behavior, sent)
            if weight != 1.0:
                sums = Nodes(sums.users * weight, sums.items * weight)
            total = sums if total is None else _each(torch.add, total, sums)
        assert total is not None  # there is at least one behavior
        return _each(torch.mul, total, self.receive)

    def thinned(self, rate: float) -> "Adjacency":
        """Leave out each edge and each self loop with probability `rate`; raise the others.

        The expectation stays what it was. Draws come from torch's global generator.
        """
        if not rate:
            return self
        return replace(
            self,
            graph=drop_edges(self.graph, rate),
            receive=self.receive.map(lambda each: each / (1.0 - rate)),
            loops=None if self.loops is None else self.loops.map(partial(_drop, rate)),
        )


def _drop(rate: float, loops: Tensor) -> Tensor:
    return loops * (torch.rand_like(loops) >= rate)


Parts = list[tuple[BehaviorGraph, Sequence[float]]]
"""For each matrix its edges and their weights."""

_PARTS: dict[GraphName, Callable[[BehaviorGraph, Sequence[float]], Parts]] = {
    "target": lambda graph, _: [(graph.only(-1), (1.0,))],
    "union": lambda graph, _: [(graph.union(), (1.0,))],
    "weighted": lambda graph, weights: [(graph, weights)],
    "per-behavior": lambda graph, _: [
        (graph.only(behavior), (1.0,)) for behavior in range(graph.n_behaviors)
    ],
}


def adjacencies(
    graph: BehaviorGraph,
    name: GraphName,
    normalization: Normalization,
    weights: Sequence[float] = (),
    *,
    self_loops: bool = False,
) -> tuple[Adjacency, ...]:
    """Return the matrices of a choice of edges: one per behavior for "per-behavior", else one.

    Built once per graph, whose edges never change.

    Args:
        graph: All behaviors' edges.
        name: Which of them.
        normalization: How the edges are weighted by degrees.
        weights: Of each behavior's edges, for "weighted"; empty gives all the same. They are
            divided by their sum, so that a self loop weighs as much as in one behavior's graph.
        self_loops: Whether a node also sends to itself.
    """
    weights = tuple(weights) or (1.0,) * graph.n_behaviors
    weights = tuple(weight / sum(weights) for weight in weights)
    key = f"adjacencies {name} {normalization} {weights} {self_loops}"
    if key not in graph.derived:
        graph.derived[key] = tuple(
            Adjacency.build(edges, each, normalization, self_loops=self_loops)
            for edges, each in _PARTS[name](graph, weights)
        )
    return cast(tuple[Adjacency, ...], graph.derived[key])


def _each(function: Callable[[Tensor, Tensor], Tensor], x: Nodes, y: Nodes) -> Nodes:
    return Nodes(function(x.users, y.users), function(x.items, y.items))


def _power(sums: Tensor, power: float) -> Tensor:
    """A power of the rows' sums; rows without edges stay 0."""
    return torch.where(sums > 0, sums**power, 0.0)
