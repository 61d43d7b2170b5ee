"""The graph of one rank: its own nodes receive, all nodes send.

The adjacency is symmetric, so what a rank's nodes must know of the gradient lies along the edges
that it already has: vectors are gathered on the way forth, gradients or what rows make of them on
the way back, and no edge is stored twice. Only where a few users are selected are gradients sent
along their edges, and summed where they belong. Items that no batch reads are left out on all
ranks alike.

Axes: U users and I items of this rank, R ranks, B behaviors, H heads, C chains, D size; a table has
a row for each node of all ranks.
"""

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from cigf.data.dataset import Matrix
from cigf.distributed.collectives import gather_rows, returned
from cigf.distributed.exchange import Ranks
from cigf.distributed.partition import Partition, Rows
from cigf.distributed.selection import Selection, padded
from cigf.distributed.sending import Receivers, Way, send
from cigf.graph.bipartite import BehaviorGraph, build_edges
from cigf.graph.gather_sum import Edges, gather_sum
from cigf.graph.propagation import POWERS, Normalization, Propagation, mix_side, own_side
from cigf.graph.side import Side
from cigf.shapes import Nodes


class RankGraph(BehaviorGraph):
    """B bipartite graphs of which a rank holds its own nodes' edges.

    Args:
        to_users: Per behavior, the edges from all items to this rank's users.
        to_items: Per behavior, the edges from all users to this rank's items.
        ranks: The ranks.
    """

    def __init__(self, to_users: Sequence[Edges], to_items: Sequence[Edges], ranks: Ranks) -> None:
        super().__init__(to_users, to_items)
        self.ranks = ranks
        self.propagation = RankPropagation

    @classmethod
    def of(
        cls,
        interactions: Sequence[Matrix],
        partition: Partition,
        ranks: Ranks,
        device: torch.device | str = "cpu",
    ) -> "RankGraph":
        """Take a rank's edges out of all.

        Args:
            interactions: One binary (users, items) matrix of all nodes per behavior.
            partition: Whose nodes are whose.
            ranks: The ranks.
            device: Where the edges go.
        """
        users, items = partition.users, partition.items
        to_users = [_own_rows(matrix, users, items, ranks.rank) for matrix in interactions]
        to_items = [
            _own_rows(matrix.T.tocsr(), items, users, ranks.rank) for matrix in interactions
        ]
        return cls(build_edges(to_users, device), build_edges(to_items, device), ranks)

    def item_degrees(self) -> Int[Tensor, "RI"]:
        """Return the interactions of each row of the table of all ranks' items; computed once."""
        name = "all item degrees"
        if name not in self.derived:
            (table,) = self.ranks.gather(super().item_degrees())
            self.derived[name] = table.clone()
        return cast(Tensor, self.derived[name])

    def neighbors(self, users: Int[Tensor, "u"]) -> Bool[Tensor, "RI"]:
        """Tell which rows of the table of all ranks' items any rank's users have interacted with.

        Args:
            users: This rank's users; every rank asks about its own.
        """
        (found,) = self.ranks.gather(super().neighbors(users)[None])
        return found.any(0)

    def selection(self, items: Int[Tensor, "i"]) -> Selection:
        """Return items of all ranks, given as rows of the table of all, for tables of them."""
        return Selection(items.long(), self.ranks.rank, self.ranks.size, self.n_items)

    def gather_sum(self, behavior: int, x: Nodes) -> Nodes:
        """Sum every own node's neighbors under one behavior; x are the own nodes' vectors."""
        users, items = self.to_users[behavior], self.to_items[behavior]
        if torch.is_grad_enabled() and (x.users.requires_grad or x.items.requires_grad):
            return Nodes(
                gather_sum(users, None, gather_rows(self.ranks, x.items)),
                gather_sum(items, None, gather_rows(self.ranks, x.users)),
            )
        all_users, all_items = self.ranks.gather(*x)
        return Nodes(gather_sum(users, None, all_items), gather_sum(items, None, all_users))

    def in_halves(self) -> "RankGraph":
        """See `BehaviorGraph.in_halves`; on the way back rows are of single precision."""
        if "halves" not in self.derived:
            graph = RankGraph(self.to_users, self.to_items, self.ranks)
            graph.to_users, graph.to_items = self.to_users, self.to_items  # with what they know
            graph.halves = True
            self.derived["halves"] = graph
        return cast("RankGraph", self.derived["halves"])

    def like(self, to_users: Sequence[Edges], to_items: Sequence[Edges]) -> BehaviorGraph:
        """Return a graph of other edges of the same nodes."""
        return RankGraph(to_users, to_items, self.ranks)


def _own_rows(matrix: Matrix, mine: Rows, others: Rows, rank: int) -> csr_array:
    """The rows of a rank's nodes, whose columns are rows of the table of the others."""
    owned = matrix[mine.owned[rank]]
    empty = np.full(mine.n_rows - owned.shape[0], owned.indptr[-1], owned.indptr.dtype)
    indptr: NDArray[np.integer] = np.concatenate([owned.indptr, empty])
    columns = others.places.astype(owned.indices.dtype)[owned.indices]
    shape = (mine.n_rows, len(others.owned) * others.n_rows)
    return csr_array((owned.data, columns, indptr), shape=shape)


class RankPropagation(Propagation):
    """Normalized propagation to a rank's own nodes, or to some of them.

    Args:
        graph: The rank's graph.
        normalization: How edges are weighted.
        users: Receiving users, as rows of this rank; all when None.
        items: Receiving items of all ranks, as rows of the table of all, ascending; all when None.
            This rank's are those of them that it has.
        senders: Items that send, likewise, all neighbors of all ranks' `users` among them; what is
            given to `mix` and `own` are this rank's of them.
    """

    def __init__(
        self,
        graph: BehaviorGraph,
        normalization: Normalization,
        users: Int[Tensor, "_u"] | None = None,
        items: Int[Tensor, "_i"] | None = None,
        senders: Int[Tensor, "_s"] | None = None,
    ) -> None:
        assert isinstance(graph, RankGraph)
        self.ranks, self.users = graph.ranks, users
        chosen = None if items is None else graph.selection(items)
        self.items = None if chosen is None else chosen.own
        self._senders = None if senders is None else graph.selection(senders)
        columns = None if self._senders is None else self._senders.columns
        received, sends, all_received, all_sent = _scales(graph, normalization)
        scales = _some(received.users, users), all_sent and _some(all_sent.items, columns)
        self.to_users = Side(graph.to_users, None, *scales, users, columns, graph.halves)
        scales = _some(received.items, self.items), all_sent and all_sent.users
        self.to_items = Side(graph.to_items, None, *scales, self.items, None, graph.halves)
        to_items = Receivers(graph.to_items, all_received.users, sends and sends.items)
        scale = _some(all_received.items, None if chosen is None else chosen.columns)
        to_users = Receivers(graph.to_users, scale, sends and sends.users, chosen)
        self._both = [Way(self.to_users, to_items), Way(self.to_items, to_users)]

    def mix(self, x: Nodes, weights: Nodes) -> Nodes:
        """See `Propagation.mix`; x are the own nodes' chains."""
        if self.users is None:
            users, items = self.ranks.gather(*x)
            given = [weights.users, weights.items]
            return Nodes(*send(self.ranks, self._both, [x.items, x.users], [items, users], given))
        users, table = self._tables(x)
        selected = mix_side(self.to_users, table, weights.users)
        return Nodes(
            selected, *send(self.ranks, self._both[1:], [x.users], [users], [weights.items])
        )

    def own(self, x: Nodes) -> Nodes:
        """See `Propagation.own`; x are the own nodes' chains."""
        if self.users is None:
            users, items = self.ranks.gather(*x)
            return Nodes(*send(self.ranks, self._both, [x.items, x.users], [items, users], None))
        users, table = self._tables(x)
        selected = own_side(self.to_users, table)
        return Nodes(selected, *send(self.ranks, self._both[1:], [x.users], [users], None))

    def _tables(self, x: Nodes) -> tuple[Tensor, Tensor]:
        """All ranks' users, and items, whose gradients are returned along the users' edges."""
        own = padded(x.items, self._senders)
        users, items = self.ranks.gather(x.users, own)
        return users, returned(self.ranks, own, items)


def _some(x: Tensor, rows: Tensor | None) -> Tensor:
    return x if rows is None else x[rows]


def _scales(
    graph: RankGraph, normalization: Normalization
) -> tuple[Nodes, Nodes | None, Nodes, Nodes | None]:
    """Scales of the own receivers and senders, and of those of all ranks; made once."""
    name = f"scales {normalization}"
    if name not in graph.derived:
        receive, send = POWERS[normalization]
        received = graph.degree_powers(receive)
        sent = graph.degree_powers(send) if send else None
        all_received = _all_ranks(graph.ranks, received)
        graph.derived[name] = received, sent, all_received, sent and _all_ranks(graph.ranks, sent)
    scales: tuple[Nodes, Nodes | None, Nodes, Nodes | None] = graph.derived[name]
    return scales


def _all_ranks(ranks: Ranks, own: Nodes) -> Nodes:
    return Nodes(*(each.clone() for each in ranks.gather(*own)))
