"""Lessons: a graph with its evidence, in the form that a step of training reads.

Axes: U users, u of the batch, I items, s sampled items, B behaviors, F features of a pair, G of a
user, m touched pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array
from torch import Tensor

from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.evidence import Evidence, values_at
from cigf.graph.rehearsals import NOTHING, Rehearsal
from cigf.graph.relations import relations_of_pairs, relations_with_items
from cigf.ranking.ragged import expand


@dataclass(frozen=True)
class Listed:
    """The open pairs of some users, and the hidden ones, by their number in the batch.

    Args:
        owners: User of each open pair that is not hidden, (n,).
        items: Its item.
        features: What is known of it, (n, F).
        hidden_features: The same of each user's hidden pair, (u, F); of no use where it is new.
    """

    owners: Int64[Tensor, "n"]
    items: Int64[Tensor, "n"]
    features: Float[Tensor, "n F"]
    hidden_features: Float[Tensor, "u F"]


class Lesson:
    """What a step reads of a rehearsal.

    Args:
        rehearsal: The graph, and what is hidden from it.
        evidence: Of that graph.
    """

    def __init__(self, rehearsal: Rehearsal, evidence: Evidence) -> None:
        self.graph: BehaviorGraph = rehearsal.graph
        self.hidden = rehearsal.hidden
        self._evidence = evidence
        self._device = rehearsal.graph.device
        touched = evidence.touched
        self._offsets = torch.from_numpy(touched.indptr.astype(np.int64))
        self._items = torch.from_numpy(touched.indices.astype(np.int64))
        self._is_open = torch.from_numpy(evidence.is_open)
        self._features = torch.from_numpy(evidence.features)
        hidden = self.hidden.cpu().numpy()
        users = np.flatnonzero(hidden != NOTHING)
        is_new = values_at(touched, (users, hidden[users])) == 0
        self._new = users[is_new]
        self._new_relations = relations_of_pairs(
            evidence.done, evidence.related, (self._new, hidden[self._new])
        )

    @cached_property
    def item_counts(self) -> Float[Tensor, "I B"]:
        """log(1 + n) of each item and behavior."""
        return torch.from_numpy(self._evidence.item_counts).to(self._device)

    @cached_property
    def user_features(self) -> Float[Tensor, "U G"]:
        """What is known of the users."""
        return torch.from_numpy(self._evidence.user_features).to(self._device)

    @cached_property
    def _columns(self) -> Sequence[csc_array]:
        return [csc_array(each) for each in self._evidence.related]

    def is_new(self, users: Int64[Tensor, "u"]) -> Bool[Tensor, "u"]:
        """Tell whose hidden item is one that she has not touched."""
        return torch.from_numpy(np.isin(users.cpu().numpy(), self._new)).to(self._device)

    def listed(self, users: Int64[Tensor, "u"]) -> Listed:
        """Return the open pairs of some users."""
        rows = users.cpu()
        owners, places = expand(self._offsets[rows], self._offsets[rows + 1])
        is_open = self._is_open[places]
        owners, places = owners[is_open], places[is_open]
        is_hidden = self._items[places] == self.hidden.cpu()[rows][owners]
        hidden_features = torch.zeros(len(rows), self._features.shape[1])
        hidden_features[owners[is_hidden]] = self._features[places[is_hidden]]
        owners, places = owners[~is_hidden], places[~is_hidden]
        parts = (owners, self._items[places], self._features[places], hidden_features)
        return Listed(*(part.to(self._device) for part in parts))

    def hidden_relations(self, users: Int64[Tensor, "u"]) -> Float[Tensor, "u B B"]:
        """Return the relations of users with their hidden items; 0 where these are not new."""
        rows = users.cpu().numpy()
        found = np.zeros((len(rows), *self._new_relations.shape[1:]), dtype=np.float32)
        places = np.minimum(np.searchsorted(self._new, rows), max(0, len(self._new) - 1))
        if len(self._new):
            hit = self._new[places] == rows
            found[hit] = self._new_relations[places[hit]]
        return torch.from_numpy(found).to(self._device)

    def relations(
        self, users: Int64[Tensor, "u"], items: Int64[Tensor, "s"]
    ) -> Float[Tensor, "u s B B"]:
        """Return the relations of users with sampled items."""
        done = [matrix[users.cpu().numpy()] for matrix in self._evidence.done]
        found = relations_with_items(done, self._columns, items.cpu().numpy())
        return torch.from_numpy(found).to(self._device)

    def has(
        self, users: Int64[Tensor, "u"], items: Int64[Tensor, "s"], behavior: int
    ) -> Bool[Tensor, "u s"]:
        """Tell which of the pairs have a behavior."""
        return self._marks(self._evidence.done[behavior], users, items)

    def knows(self, users: Int64[Tensor, "u"], items: Int64[Tensor, "s"]) -> Bool[Tensor, "u s"]:
        """Tell which of the pairs have any behavior, hidden ones included."""
        marks = self._marks(self._evidence.known, users, items)
        return marks | (self.hidden[users][:, None] == items)

    def n_unknown(self, users: Int64[Tensor, "u"]) -> Int64[Tensor, "u"]:
        """Return how many items are known to the users by no behavior."""
        counts: NDArray[np.int64] = np.diff(self._evidence.known.indptr)[users.cpu().numpy()]
        return torch.from_numpy(self.graph.n_items - counts.astype(np.int64)).to(self._device)

    def _marks(self, matrix: csr_array, users: Tensor, items: Tensor) -> Tensor:
        some = matrix[users.cpu().numpy()][:, items.cpu().numpy()]
        return torch.from_numpy(some.toarray() > 0).to(self._device)
