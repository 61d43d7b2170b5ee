"""BehaviorGraph: one bipartite graph per behavior over the same users and items.

Axes: U users, I items, B behaviors, F width.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from cigf.graph.gather_sum import Edges, gather_sum, merge_edges
from cigf.graph.stack import Bundle
from cigf.shapes import Nodes


class BehaviorGraph:
    """B bipartite graphs over the same nodes, in both directions.

    Args:
        to_users: Per behavior, the edges from items to users; rows are users.
        to_items: The same edges from users to items; rows are items.
        sequences: As `to_users`, with a user's edges in the order of their times; None where there
            are no times.
    """

    def __init__(
        self,
        to_users: Sequence[Edges],
        to_items: Sequence[Edges],
        sequences: Sequence[Edges] | None = None,
    ) -> None:
        self.to_users = Bundle(to_users)
        self.to_items = Bundle(to_items)
        self.sequences = None if sequences is None else tuple(sequences)
        self._degree_powers: dict[float, Nodes] = {}
        self.derived: dict[str, Any] = {}
        """What other modules compute from the edges alone, and need only once."""
        self.halves = False
        """Whether compiled sums along the edges read rows of half precision: see `in_halves`."""
        self.propagation: Callable[..., Any] | None = None
        """What propagates along these edges, where `graph.Propagation` does not."""

    @classmethod
    def build(
        cls,
        interactions: Sequence[csr_array],
        device: torch.device | str = "cpu",
        times: Sequence[NDArray[np.int64] | None] = (),
    ) -> "BehaviorGraph":
        """Build the graphs of some binary (U, I) matrices on a device.

        Args:
            interactions: One matrix per behavior.
            device: Where the edges go.
            times: Of each matrix' entries, in their order, if they are known.
        """
        by_item = [matrix.T.tocsr() for matrix in interactions]
        to_users = build_edges(interactions, device)
        known = [each for each in times if each is not None]
        ordered = None
        if known and len(known) == len(interactions):
            ordered = [_by_time(*each) for each in zip(to_users, known, strict=True)]
        return cls(to_users, build_edges(by_item, device), ordered)

    @property
    def n_users(self) -> int:
        """U."""
        return self.to_users[0].n_rows

    @property
    def n_items(self) -> int:
        """I."""
        return self.to_items[0].n_rows

    @property
    def n_behaviors(self) -> int:
        """B."""
        return len(self.to_users)

    @property
    def device(self) -> torch.device:
        """Where the edges lie."""
        return self.to_users[0].indices.device

    def degree_powers(self, power: float) -> Nodes:
        """Return each node's degree under each behavior to a power, (U, B) and (I, B); 0 stays 0.

        Computed once: the edges of a graph never change.
        """
        if power not in self._degree_powers:
            self._degree_powers[power] = Nodes(
                powers_of_degrees(self.to_users, power), powers_of_degrees(self.to_items, power)
            )
        return self._degree_powers[power]

    def item_degrees(self) -> Int[Tensor, "I"]:
        """Return each item's interactions of all behaviors; computed once."""
        name = "item degrees"
        if name not in self.derived:
            self.derived[name] = sum(edges.degrees.long() for edges in self.to_items)
        return cast(Tensor, self.derived[name])

    def neighbors(self, users: Int[Tensor, "u"]) -> Bool[Tensor, "I"]:
        """Tell which items some users have interacted with, under any behavior."""
        first = self.to_users[0]
        found = torch.zeros(first.n_columns, dtype=torch.bool, device=self.device)
        for edges in self.to_users:
            found[edges.select(users).indices] = True
        return found

    def in_halves(self) -> "BehaviorGraph":
        """Return the same graph, along whose edges compiled kernels sum half-precision rows.

        Rows are rounded to 11 bits when they are sent; sums are in single precision. That halves
        what has to be read, which is what large graphs' time goes to. Made once.
        """
        if "halves" not in self.derived:
            graph = BehaviorGraph(self.to_users, self.to_items, self.sequences)
            graph.to_users, graph.to_items = self.to_users, self.to_items  # with what they know
            graph.halves = True
            self.derived["halves"] = graph
        return cast("BehaviorGraph", self.derived["halves"])

    def only(self, behavior: int) -> "BehaviorGraph":
        """Return the graph of one behavior alone; made once."""
        name = f"only {behavior % self.n_behaviors}"
        if name not in self.derived:
            self.derived[name] = self.like([self.to_users[behavior]], [self.to_items[behavior]])
        return cast("BehaviorGraph", self.derived[name])

    def union(self) -> "BehaviorGraph":
        """Return the graph of the pairs that have any behavior; made once."""
        if "union" not in self.derived:
            self.derived["union"] = self.like(
                [merge_edges(self.to_users)], [merge_edges(self.to_items)]
            )
        return cast("BehaviorGraph", self.derived["union"])

    def like(self, to_users: Sequence[Edges], to_items: Sequence[Edges]) -> "BehaviorGraph":
        """Return a graph of other edges of the same nodes."""
        return BehaviorGraph(to_users, to_items)

    def gather_sum(self, behavior: int, x: Nodes) -> Nodes:
        """Sum every node's neighbors under one behavior: A x, with x of shapes (U, F), (I, F)."""
        to_users, to_items = self.to_users[behavior], self.to_items[behavior]
        return Nodes(
            gather_sum(to_users, to_items, x.items), gather_sum(to_items, to_users, x.users)
        )


def powers_of_degrees(edges: Sequence[Edges], power: float) -> Tensor:
    """Return each row's degree under each behavior to a power, (rows, B); 0 stays 0."""
    degrees = torch.stack([each.degrees for each in edges], dim=1).float()
    return torch.where(degrees > 0, degrees**power, 0.0)


def _by_time(edges: Edges, times: NDArray[np.int64]) -> Edges:
    """Order every row's edges by time; equal times keep their order."""
    rows = torch.repeat_interleave(edges.degrees).cpu().numpy()
    order = torch.from_numpy(np.lexsort((times, rows))).to(edges.indices.device)
    return Edges(edges.offsets, edges.indices[order], edges.n_columns)


def build_edges(matrices: Sequence[csr_array], device: torch.device | str) -> list[Edges]:
    """Edges of all behaviors, whose columns lie side by side in one tensor: see `stack.Stack`."""
    kind = np.int32 if max(matrix.nnz for matrix in matrices) < 2**31 else np.int64
    # A copy, because memory-mapped arrays are read-only and torch cannot say so.
    joined = np.concatenate([matrix.indices.astype(kind, copy=False) for matrix in matrices])
    columns = torch.from_numpy(joined).to(device)
    parts = torch.split(columns, [matrix.nnz for matrix in matrices])
    return [
        Edges(
            torch.from_numpy(matrix.indptr.astype(kind, copy=True)).to(device),
            indices,
            matrix.shape[1],
            lasting=True,
        )
        for matrix, indices in zip(matrices, parts, strict=True)
    ]
