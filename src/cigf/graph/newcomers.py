"""Propagation to users who are not in the graph, from vectors of its items that were kept.

Axes: B behaviors, H attention heads, C chains per behavior, D embedding size.
"""

from collections.abc import Callable, Sequence

from jaxtyping import Float
from torch import Tensor

from cigf.graph.bipartite import powers_of_degrees
from cigf.graph.gather_sum import Edges
from cigf.graph.propagation import POWERS, Normalization, mix_side, own_side
from cigf.graph.side import Side
from cigf.graph.stack import Bundle
from cigf.shapes import Nodes


class Newcomers:
    """One step of every layer for users alone; what the items received is known already.

    A convolution that runs over it, with the users' embeddings and no items, gives the users the
    rows that they would have if the graph's items had not noticed them.

    Args:
        events: Per behavior, edges from the graph's items to the users.
        normalization: How edges are weighted.
        item_degrees: The items' degrees in the graph to the power that the normalization sends
            with, (I, B).
        senders: Gives the items' vectors (I, C, B, D) or (I, C, 1, D) of each call, in order.
    """

    users: None = None
    items: None = None

    def __init__(
        self,
        events: Sequence[Edges],
        normalization: Normalization,
        item_degrees: Float[Tensor, "I B"],
        senders: Callable[[], Tensor],
    ) -> None:
        receive, send = POWERS[normalization]
        received = powers_of_degrees(events, receive)
        sent = item_degrees if send else None
        self._side = Side(Bundle(events), None, received, sent)
        self._senders = senders

    def mix(self, x: Nodes, weights: Nodes) -> Nodes:
        """The users' rows of `Propagation.mix`; the items' rows are passed on."""
        return Nodes(mix_side(self._side, self._senders(), weights.users), x.items)

    def own(self, x: Nodes) -> Nodes:
        """The users' rows of `Propagation.own`; the items' rows are passed on, to each behavior."""
        n_behaviors = self._side.receive.shape[1]
        return Nodes(own_side(self._side, self._senders()), x.items.expand(-1, -1, n_behaviors, -1))
