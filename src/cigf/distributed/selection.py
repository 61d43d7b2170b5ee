"""Some of the items of all ranks, and tables of their rows alone.

Axes: R ranks, S rows that each rank holds, k items of them that are this rank's.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor
from torch.nn.functional import pad

from cigf.graph.side import positions


@dataclass(frozen=True)
class Selection:
    """Chosen items, the same on every rank.

    A table of them has K rows of each rank, K being the most that one has of them; those that are
    left over belong to none.

    Args:
        places: The items' rows in the table of all ranks' items, ascending.
        rank: Number of this rank.
        n_ranks: R.
        n_rows: S.
    """

    places: Int64[Tensor, "_i"]
    rank: int
    n_ranks: int
    n_rows: int

    @cached_property
    def own(self) -> Int64[Tensor, "_k"]:
        """This rank's, by its own rows, ascending."""
        return self._of(self.rank)

    @cached_property
    def size(self) -> int:
        """K."""
        return max(1, int(torch.bincount(self.places // self.n_rows, minlength=1).max()))

    @cached_property
    def columns(self) -> Int64[Tensor, "_RK"]:
        """Row in the table of all ranks' items of each row of the small one.

        Rows of none have the place of an item that is not chosen (a rank with rows left over has
        one, because no rank has more than S items): nobody reads them, and their gradient is 0.
        """
        columns = []
        for rank in range(self.n_ranks):
            rows = self._of(rank)
            n_fillings = self.size - len(rows)
            if n_fillings:
                taken = torch.zeros(self.n_rows, dtype=torch.bool, device=rows.device)
                taken[rows] = True
                free = (~taken).nonzero()[:1, 0]
                rows = torch.cat([rows, free.expand(n_fillings)])
            columns.append(rows + rank * self.n_rows)
        return torch.cat(columns)

    @cached_property
    def position(self) -> Int[Tensor, "_RS"]:
        """Row of each item in the small table, int32; -1 for those that have none."""
        return positions(self.columns, self.n_ranks * self.n_rows)

    def padded(self, x: Float[Tensor, "_k *_width"]) -> Float[Tensor, "_K *_width"]:
        """Add rows of zeros, so that every rank has as many."""
        return pad(x, (0, 0) * (x.dim() - 1) + (0, self.size - len(x)))

    def _of(self, rank: int) -> Int64[Tensor, "_n"]:
        first = rank * self.n_rows
        of_rank = (self.places >= first) & (self.places < first + self.n_rows)
        return self.places[of_rank] - first


def padded(x: Tensor, selection: Selection | None) -> Tensor:
    """Return the rows that a rank sends: all, or those of a selection with its fillings."""
    return x if selection is None else selection.padded(x)
