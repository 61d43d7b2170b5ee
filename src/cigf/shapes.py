"""The axis legend and the types that several layers share.

| letter | axis |
| --- | --- |
| U | users |
| I | items |
| N | nodes, U + I, users first |
| B | behaviors, the target last (K in the papers) |
| D | embedding size (d) |
| L | layers |
| E | experts |
| F | width of a stacked factor, such as B * D |
| n | pairs |
| k | list length |

The letters are reserved for axes and used for nothing else. Representations are stored with the
node axis first, (U, B, D) and (I, B, D): a node's chains lie side by side in memory, so that one
pass of a graph moves all of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import Tensor

Learns = Literal["behaviors", "target", "union"]
"""Whose labels a model learns from: every behavior's, the target's alone, or those of the pairs
that have any behavior, each pair with all of its labels."""


class Nodes(NamedTuple):
    """One tensor for the users and one for the items; the first axis is the node."""

    users: Tensor
    items: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> "Nodes":
        """Apply a function to both sides."""
        return Nodes(function(self.users), function(self.items))


@dataclass(frozen=True)
class Pairs:
    """Sampled pairs of one behavior.

    Args:
        rows: Position of each pair's user in `Batch.users`, shape (n,), int64, ascending.
        positives: Items she interacted with under that behavior, shape (n,), int64. Where there
            are several negatives per positive, a positive stands as often, one after the other.
        negatives: Items she did not interact with under that behavior, shape (n,), int64; shape
            (0,) where no negatives are sampled.
    """

    rows: Tensor
    positives: Tensor
    negatives: Tensor


@dataclass(frozen=True)
class Batch:
    """What one optimizer step learns from.

    Args:
        users: The distinct users of the batch, shape (u,), int64.
        pairs: One `Pairs` per behavior in the dataset's order, of which some may be empty; or,
            for a model that learns from the union of the behaviors, that union's alone.
        labels: Of the union's positive pairs: 1 where the pair has the behavior, else 0; shape
            (n, B), float32.
        negatives_per_positive: How often a positive stands in the pairs, if it has negatives.
    """

    users: Tensor
    pairs: tuple[Pairs, ...]
    labels: Tensor | None = None
    negatives_per_positive: int = 1

    @property
    def n_pairs(self) -> int:
        """Number of (positive, negative) pairs over all behaviors."""
        return sum(len(pairs.rows) for pairs in self.pairs)
