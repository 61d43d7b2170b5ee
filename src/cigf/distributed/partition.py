"""Which users and items are whose: as many rows on every rank, and about as many edges.

Axes: R ranks, S rows that each rank holds, n nodes of one kind.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from cigf.data.dataset import Matrix


@dataclass(frozen=True, eq=False)
class Rows:
    """The nodes of one kind, partitioned. A rank's nodes are in ascending order.

    Every rank has S rows in every table; where it has fewer nodes, its last rows belong to none.

    Args:
        owned: Each rank's nodes.
    """

    owned: tuple[NDArray[np.int64], ...]

    @classmethod
    def balanced(cls, work: NDArray[np.integer], n_ranks: int) -> "Rows":
        """Deal the nodes out by falling work, from rank to rank and back again.

        Numbers of nodes then differ by one at most, and sums of work by no more than the largest.

        Args:
            work: What each node costs, shape (n,).
            n_ranks: R.
        """
        order = np.argsort(-work.astype(np.int64), kind="stable")
        turn = np.arange(len(order)) % (2 * n_ranks)
        rank = np.where(turn < n_ranks, turn, 2 * n_ranks - 1 - turn)
        return cls(tuple(np.sort(order[rank == each]) for each in range(n_ranks)))

    @property
    def n_rows(self) -> int:
        """S."""
        return max(1, *map(len, self.owned))

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """Row of each node in a table of all ranks' rows, shape (n,)."""
        places = np.empty(sum(map(len, self.owned)), np.int64)
        for rank, nodes in enumerate(self.owned):
            places[nodes] = rank * self.n_rows + np.arange(len(nodes))
        return places

    def restored(self, table: Tensor) -> Tensor:
        """Return the rows of a table of all ranks in the nodes' own order, (n, ...)."""
        return table[torch.from_numpy(self.places).to(table.device)]

    def share(self, rank: int, whole: Tensor) -> Tensor:
        """Return a rank's rows (S, ...) of a tensor in the nodes' own order; rows of none are 0."""
        nodes = torch.from_numpy(self.owned[rank]).to(whole.device)
        rows = whole.new_zeros(self.n_rows, *whole.shape[1:])
        rows[: len(nodes)] = whole[nodes]
        return rows


@dataclass(frozen=True, eq=False)
class Partition:
    """Users and items, partitioned.

    Args:
        users: The users.
        items: The items.
    """

    users: Rows
    items: Rows

    @classmethod
    def by_edges(cls, interactions: Sequence[Matrix], n_ranks: int) -> "Partition":
        """Balance the edges of all behaviors, in both directions."""
        shape = interactions[0].shape
        of_users = sum(np.diff(matrix.indptr).astype(np.int64) for matrix in interactions)
        of_items = sum(np.bincount(matrix.indices, minlength=shape[1]) for matrix in interactions)
        return cls(
            Rows.balanced(np.asarray(of_users), n_ranks),
            Rows.balanced(np.asarray(of_items), n_ranks),
        )


def local_rows(rows: Rows, rank: int, nodes: Int64[Tensor, "m"]) -> Int64[Tensor, "m"]:
    """Return the row of each node on a rank, -1 for nodes of others."""
    places = torch.from_numpy(rows.places).to(nodes.device)[nodes]
    first = rank * rows.n_rows
    mine = (places >= first) & (places < first + rows.n_rows)
    return torch.where(mine, places - first, -1)
