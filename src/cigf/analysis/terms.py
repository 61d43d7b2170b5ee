"""A node's CIGF representation as the sum of what each of its edges brings, layer by layer.

With the attention weights held fixed, CIGCN with the linear aggregator is linear in the
embeddings: `x* = (L + 1) X + sum over layers l of (L + 1 - l) h^l`, and `h^l` of a node is a
weighted sum over its edges. So x* is exactly the node's own term plus one term per edge and layer.

Axes: n edges of a node, L layers, B behaviors (chains), D embedding size.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.propagation import Propagation, propagate_all
from cigf.graph.side import Side
from cigf.models.cigf import CIGF
from cigf.nn.interaction import ChainName
from cigf.shapes import Nodes


@dataclass(frozen=True, eq=False)
class NodeTerms:
    """What a representation (B, D) is the sum of; float64.

    Args:
        own: From the node's own embedding, shape (B, D).
        behaviors: Behavior of each edge, shape (n,).
        neighbors: The other end of each edge, shape (n,).
        edges: From each edge by layer, shape (n, L, B, D).
    """

    own: Float[Tensor, "B D"]
    behaviors: Int64[Tensor, "n"]
    neighbors: Int64[Tensor, "n"]
    edges: Float[Tensor, "n L B D"]

    def total(self) -> Float[Tensor, "B D"]:
        """The representation."""
        return self.own + self.edges.sum((0, 1))


class Tracer:
    """Takes representations of one model apart; what all nodes need is computed once.

    Args:
        model: A CIGF with the lightgcn aggregator.
        graph: The graph of its representations.
    """

    @torch.no_grad()
    def __init__(self, model: CIGF, graph: BehaviorGraph) -> None:
        self._model = model
        self._graph = graph
        self._propagation = propagate_all(graph, model.config.normalization)
        self._ego = Nodes(model.user_embedding, model.item_embedding)
        self._sent = self._layers()

    @torch.no_grad()
    def user(self, row: int) -> NodeTerms:
        """Return the terms of a user; her edges lead to items."""
        side, ego = self._propagation.to_users, self._ego.users[row]
        return self._terms(side, row, ego, [sent.items for sent in self._sent])

    @torch.no_grad()
    def item(self, row: int) -> NodeTerms:
        """Return the terms of an item; its edges lead to users."""
        side, ego = self._propagation.to_items, self._ego.items[row]
        return self._terms(side, row, ego, [sent.users for sent in self._sent])

    def users_of(self, behavior: int, item: int) -> NDArray[np.int64]:
        """Return the users who did something with an item, ascending."""
        users: NDArray[np.int64] = _neighbors(self._propagation.to_items, behavior, item).numpy()
        return users

    def _layers(self) -> list[Nodes]:
        """What every node sends along its edges in layer 1, 2, ..., L: (nodes, 1, B, D) each."""
        n_behaviors = self._graph.n_behaviors
        x = self._ego.map(lambda each: each[:, None, None].expand(-1, 1, n_behaviors, -1))
        layers = [x.map(torch.Tensor.contiguous)]
        step = _SENT_NEXT[self._model.config.chain]
        for layer in range(2, self._model.config.n_layers + 1):
            layers.append(step(self._propagation, layers[-1], layer, self._attend))
        return layers

    def _attend(self, layer: int) -> Nodes:
        return self._ego.map(lambda x: self._attention(x, layer))

    def _attention(self, ego: Float[Tensor, "nodes D"], layer: int) -> Float[Tensor, "nodes 1 B B"]:
        """Weights (chain, graph); the heads' sum, because the aggregator is linear."""
        weights: Tensor = self._model.convolution.attention(ego, layer)
        return weights.sum(1, keepdim=True)

    def _terms(
        self, side: Side, row: int, ego: Float[Tensor, "D"], sent: list[Tensor]
    ) -> NodeTerms:
        places = [_neighbors(side, behavior, row) for behavior in range(len(side.edges))]
        n_layers, n_behaviors = len(sent), len(places)
        parts = []
        for behavior, neighbors in enumerate(places):
            weights = side.receive[row, behavior].double().expand(len(neighbors))
            if side.send is not None:
                weights = weights * side.send[neighbors, behavior]
            by_layer = [
                (n_layers - number)
                * self._mixing(ego, number + 1)[:, behavior, None]
                * sent[number][neighbors, 0].double()
                for number in range(n_layers)
            ]
            parts.append(weights[:, None, None, None] * torch.stack(by_layer, 1))
        return NodeTerms(
            (n_layers + 1) * ego.double().expand(n_behaviors, -1),
            torch.repeat_interleave(torch.tensor([len(each) for each in places])),
            torch.cat(places),
            torch.cat(parts),
        )

    def _mixing(self, ego: Float[Tensor, "D"], layer: int) -> Float[Tensor, "B B"]:
        """How much of each graph (last axis) each chain takes in as the last hop of a layer."""
        if layer == 1 or self._model.config.chain != "reference":
            return torch.eye(self._graph.n_behaviors, dtype=torch.float64)
        return self._attention(ego[None], layer)[0, 0].double()


def _neighbors(side: Side, behavior: int, row: int) -> Int64[Tensor, "n"]:
    edges = side.edges[behavior]
    return edges.indices[edges.offsets[row] : edges.offsets[row + 1]].long()


_SentNext = Callable[[Propagation, Nodes, int, Callable[[int], Nodes]], Nodes]


def _reference(
    steps: Propagation, sent: Nodes, layer: int, attend: Callable[[int], Nodes]
) -> Nodes:
    """Layer l receives h^(l-1): R^k X, then mixed by the attention of each layer before."""
    return steps.own(sent) if layer == 2 else steps.mix(sent, attend(layer - 1))


def _paper(steps: Propagation, sent: Nodes, layer: int, attend: Callable[[int], Nodes]) -> Nodes:
    """Layer l receives z^l, which is mixed from z^(l-1)."""
    return steps.mix(sent, attend(layer))


def _independent(
    steps: Propagation, sent: Nodes, layer: int, attend: Callable[[int], Nodes]
) -> Nodes:
    """Layer l receives h^(l-1) of its own behavior."""
    return steps.own(sent)


_SENT_NEXT: dict[ChainName, _SentNext] = {
    "reference": _reference,
    "paper": _paper,
    "independent": _independent,
}
"""From what was sent in layer l - 1 to what is sent in layer l (see `nn.interaction`)."""
