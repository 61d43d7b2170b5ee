"""CIGCN: compressed interaction graph convolution (Guo et al., WWW 2023, section 4.2).

Equations 6-13. Axes: U users, I items, B behaviors, C chains per behavior, D embedding size.

| here | paper |
| --- | --- |
| ego | X = [P; Q], eq. 4 |
| chain h of layer l | h_k^l, eqs. 6-9 |
| attention weights | a_k^l, eq. 9 |
| representation | x_k* = sum of x_k^l, eqs. 12, 13 |
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cigf.nn.aggregators import Aggregator
from cigf.nn.attention import BehaviorAttention
from cigf.nn.layer_sum import LayerSum
from cigf.shapes import Nodes

ChainName = Literal["reference", "paper", "independent"]


@runtime_checkable
class Step(Protocol):
    """One normalized propagation over all behaviors' graphs (see `graph.Propagation`)."""

    users: Tensor | None
    """Which users receive, in that order; all when None."""
    items: Tensor | None
    """The same of items, ascending."""

    def mix(self, x: Nodes, weights: Nodes) -> Nodes:
        """All chains through all graphs, mixed by the receivers' weights."""
        ...

    def own(self, x: Nodes) -> Nodes:
        """Each behavior's chains through its own graph."""
        ...


Attend = Callable[[int, Step], Nodes]
"""Weights (rows, H, B, B) of a layer for the rows that a step computes."""

Chain = Callable[[Sequence[Step], Nodes, Attend], Iterator[Nodes]]
"""Yields the chains (rows, C, B, D) of layer 1, 2, ...; the last step may select users."""


def reference_chain(steps: Sequence[Step], ego: Nodes, attend: Attend) -> Iterator[Nodes]:
    """h^1_k = R^k X and h^l_k = sum_j diag(a_k^l[:, j]) R^j h^(l-1)_k: the last hop is weighted.

    The published program's order of multiplication: behavior k is the hop farthest from the node.
    """
    h = steps[0].own(ego)
    yield h
    for layer, step in enumerate(steps[1:], start=2):
        h = step.mix(h, attend(layer, step))
        yield h


def paper_chain(steps: Sequence[Step], ego: Nodes, attend: Attend) -> Iterator[Nodes]:
    """z^l_k = sum_j diag(a_k^l[:, j]) R^j z^(l-1)_k and h^l_k = R^k z^l_k (eq. 8 as printed).

    The relation starts from k: behavior k is the node's own first hop.
    """
    yield steps[0].own(ego)
    if len(steps) == 1:
        return
    complete = steps[0]  # z is needed for all senders, also before a step that selects users
    behaviors = attend(2, complete).users.shape[2]
    z = ego.map(lambda x: x.expand(-1, -1, behaviors, -1))
    for layer, step in enumerate(steps[1:], start=2):
        z = complete.mix(z, attend(layer, complete))
        yield step.own(z)


def independent_chain(steps: Sequence[Step], ego: Nodes, attend: Attend) -> Iterator[Nodes]:
    """h^l_k = R^k h^(l-1)_k: each behavior's graph alone, no interaction ("w/o CIGCN")."""
    h = ego
    for step in steps:
        h = step.own(h)
        yield h


CHAINS: dict[ChainName, Chain] = {
    "reference": reference_chain,
    "paper": paper_chain,
    "independent": independent_chain,
}


class CIGCN(nn.Module):
    """Compressed interaction graph convolution with residuals and layer sum.

    `x_k^l = read(h_k^l) + x_k^(l-1)`, `x_k* = sum of x_k^0 .. x_k^L`, hence
    `x_k* = (L + 1) X + sum over l of (L + 1 - l) read(h_k^l)`.

    H heads cost what one costs under a linear aggregator, because the sum over all H^(l-1) graphs
    of eq. 8 is one chain whose attention is the sum over heads; other aggregators carry the
    H^(l-1) chains explicitly.

    Args:
        chain: Which way the chain grows.
        attention: Weights of the graphs.
        aggregator: Read-out of a layer.
    """

    def __init__(self, chain: Chain, attention: BehaviorAttention, aggregator: Aggregator) -> None:
        super().__init__()
        self.chain = chain
        self.attention = attention
        self.aggregator = aggregator

    def forward(self, steps: Sequence[Step], ego: Nodes) -> Nodes:
        """Propagate and sum the layers.

        Args:
            steps: One step per layer; only the last may select users. What a step receives is
                what the one before it gave.
            ego: Embeddings of shapes (U, D), (I, D).

        Returns:
            Representations (u, B, D) and (i, B, D) of the last step's users and items.
        """
        wanted = steps[-1].users, steps[-1].items
        base = Nodes(*map(_select, ego, wanted))
        chains = self.chain(steps, ego.map(lambda x: x[:, None, None]), self._attend(ego))
        sums = [LayerSum(x, len(steps)) for x in base]
        for layer, (step, h) in enumerate(zip(steps, chains, strict=True), start=1):
            received = map(_select, h, map(_places, wanted, (step.users, step.items)))
            for total, x, ego_side in zip(sums, received, base, strict=True):
                total.add(self._read(x, ego_side, layer))
        return Nodes(*(total.result() for total in sums))

    def _read(self, h: Tensor, ego: Tensor, layer: int) -> Tensor:
        out: Tensor = self.aggregator(h, ego[:, None, None], layer)
        return out.squeeze(1) if out.shape[1] == 1 else out.sum(1)

    def _attend(self, ego: Nodes) -> Attend:
        def attend(layer: int, step: Step) -> Nodes:
            rows = Nodes(*map(_select, ego, (step.users, step.items)))
            weights = rows.map(lambda x: self.attention(x, layer))
            return weights.map(_over_heads) if self.aggregator.linear else weights

        return attend


def _over_heads(weights: Float[Tensor, "n H B B"]) -> Float[Tensor, "n 1 B B"]:
    return weights if weights.shape[1] == 1 else weights.sum(1, keepdim=True)


def _select(x: Tensor, rows: Tensor | None) -> Tensor:
    return x if rows is None else x.index_select(0, rows)


def _places(wanted: Tensor | None, there: Tensor | None) -> Tensor | None:
    """Where the wanted rows are among those that are there; None where they are the same."""
    if wanted is there or there is None or wanted is None:
        return None if wanted is there else wanted
    return torch.searchsorted(there, wanted)
