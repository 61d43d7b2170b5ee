"""ScoreFactors: scores that are a ratio of two inner products, for whole blocks at once.

With experts e, gate logits that split into a user's and an item's part, and s the scale,

    score(u, i) = s * sum_e softmax_e(p_u + q_i) <x_ue, y_ie>
                = s * <[exp(p_ue) x_ue]_e, [exp(q_ie) y_ie]_e> / <exp(p_u), exp(q_i)>

so a block of users against all items is two matrix products and one division. Each side's largest
logit is subtracted first, which leaves the ratio as it is and keeps exp from overflowing. Where
the two sides oppose each other by much, both products underflow; those pairs, found by their
denominator, are computed again in the first form.

Axes: U users, I items, E experts, D embedding size, F = E * D.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from cigf.ranking.ragged import expand
from cigf.ranking.scorer import Scorer, default_block_size

PAIRS_AT_ONCE = 1 << 16

SCORES_AT_ONCE = {"cpu": 1 << 18}
"""Scores of a block that are worked on while they are still in a near cache; elsewhere all."""

FEWEST_ITEMS = 1 << 10
"""Items that are worked on at least: products of fewer take longer for each score."""


@dataclass(frozen=True, eq=False)
class Corrections:
    """What is added to single pairs' scores, in CSR form.

    Args:
        indptr: Where each user's entries begin, shape (U + 1,).
        indices: Item of each entry; ascending within a user, none twice.
        values: What is added.
    """

    indptr: Int64[Tensor, "U_1"]
    indices: Int[Tensor, "nnz"]
    values: Float[Tensor, "nnz"]

    def add_to(self, scores: Float[Tensor, "b I"], users: Int64[Tensor, "b"]) -> None:
        """Add the entries of some users to their rows of scores, in place."""
        rows, places = expand(self.indptr[users], self.indptr[users + 1])
        scores[rows, self.indices[places].long()] += self.values[places]

    def of_pairs(self, users: Int64[Tensor, "n"], items: Int64[Tensor, "n"]) -> Float[Tensor, "n"]:
        """Return what is added to single pairs; 0 where there is no entry."""
        rows, places = expand(self.indptr[users], self.indptr[users + 1])
        hits = (self.indices[places] == items[rows]).nonzero()[:, 0]
        found = self.values.new_zeros(len(users))
        return found.index_add_(0, rows[hits], self.values[places[hits]])


@dataclass(frozen=True, eq=False)
class ScoreFactors(Scorer):
    """Scores as factors (see the module's equation), plus item biases and single corrections.

    Args:
        users: x, shape (U, E, D).
        items: y, shape (I, E, D).
        user_gates: Logits p, shape (U, E). None stands for zeros where the items have gates.
        item_gates: Logits q, shape (I, E). With neither gates, the experts are summed plainly.
        item_bias: Added to each item's scores, shape (I,).
        corrections: Added to single pairs' scores.
        scale: s.
    """

    users: Float[Tensor, "U E D"]
    items: Float[Tensor, "I E D"]
    user_gates: Float[Tensor, "U E"] | None = None
    item_gates: Float[Tensor, "I E"] | None = None
    item_bias: Float[Tensor, "I"] | None = None
    corrections: Corrections | None = None
    scale: float = 1.0

    @property
    def n_users(self) -> int:
        """U."""
        return len(self.users)

    @property
    def n_items(self) -> int:
        """I."""
        return len(self.items)

    @property
    def device(self) -> torch.device:
        """Where the factors are."""
        return self.users.device

    @property
    def is_gated(self) -> bool:
        """Whether the experts are weighed, rather than summed plainly."""
        return self.user_gates is not None or self.item_gates is not None

    def block(self, users: Int64[Tensor, "b"]) -> Float[Tensor, "b I"]:
        """Return the scores of some users with all items, in memory the caller may change."""
        return self._write(users, self._buffers(len(users)))

    def blocks(
        self, users: Int64[Tensor, "n"], block_size: int | None = None
    ) -> Iterator[Float[Tensor, "b I"]]:
        """Yield the scores of consecutive blocks of users, all in the same memory."""
        size = block_size or default_block_size(self.n_items, self.device)
        # Fresh memory for every block would cost more than the products (page faults).
        scores, denominators = self._buffers(min(size, len(users)))
        for start in range(0, len(users), size):
            some = users[start : start + size]
            yield self._write(some, (scores[: len(some)], denominators[: len(some)]))

    @torch.no_grad()
    def pairs(self, users: Int64[Tensor, "n"], items: Int64[Tensor, "n"]) -> Float[Tensor, "n"]:
        """Return the scores of single pairs, by the first form of the equation."""
        scores = self._mix_pairs(users, items)
        if self.item_bias is not None:
            scores += self.item_bias[items]
        if self.corrections is not None:
            scores += self.corrections.of_pairs(users, items)
        return scores

    def with_users(self, other: Scorer) -> Scorer:
        """Return these items' scores with another's users; see `Scorer.with_users`."""
        assert isinstance(other, ScoreFactors)  # from the same model
        mine = replace(
            self, users=other.users, user_gates=other.user_gates, corrections=other.corrections
        )
        mine.__dict__["_item_side"] = self._item_side  # where cached_property keeps it
        return mine

    def _buffers(self, n_rows: int) -> tuple[Float[Tensor, "rows I"], Float[Tensor, "rows i"]]:
        """Memory for scores, and for some items' denominators."""
        width = min(items_at_once(n_rows, self.device), self.n_items) if self.is_gated else 0
        return self.users.new_empty(n_rows, self.n_items), self.users.new_empty(n_rows, width)

    @torch.no_grad()
    def _write(self, users: Tensor, buffers: tuple[Tensor, Tensor]) -> Tensor:
        scores = self._mix(users, *buffers)
        if self.item_bias is not None:
            scores += self.item_bias
        if self.corrections is not None:
            self.corrections.add_to(scores, users)
        return scores

    @cached_property
    def _gates(self) -> tuple[Tensor, Tensor] | None:
        """The users' and the items' logits."""
        if not self.is_gated:
            return None
        mine, theirs = self.user_gates, self.item_gates
        return (
            self.users.new_zeros(self.users.shape[:2]) if mine is None else mine,
            self.items.new_zeros(self.items.shape[:2]) if theirs is None else theirs,
        )

    @cached_property
    def _item_side(self) -> "_Side":
        return _Side.build(self.items * self.scale, self._gates and self._gates[1])

    def _user_side(self, users: Tensor) -> "_Side":
        return _Side.build(self.users[users], self._gates and self._gates[0][users])

    def _mix(self, users: Tensor, scores: Tensor, denominators: Tensor) -> Tensor:
        """Write the block of `sum_e softmax_e(...) <...>` into `scores`."""
        mine, theirs = self._user_side(users), self._item_side
        if mine.weights is None or theirs.weights is None:
            return torch.mm(mine.factors.T, theirs.factors, out=scores)
        smallest = _smallest_denominator(scores.dtype)
        # A denominator holds at least the weight that one side gives the other's favorite expert,
        # so it can only be small where both sides have small weights.
        trusted = theirs.floor >= math.log(smallest) or mine.floor >= math.log(smallest)
        width = max(denominators.shape[1], 1)
        for start in range(0, self.n_items, width):
            some = slice(start, min(start + width, self.n_items))
            part, below = scores[:, some], denominators[:, : some.stop - start]
            torch.mm(mine.factors.T, theirs.factors[:, some], out=part)
            torch.mm(mine.weights.T, theirs.weights[:, some], out=below)
            part.div_(below)
            if not trusted:
                rows, items = (~(below >= smallest)).nonzero(as_tuple=True)
                part[rows, items] = self._mix_pairs(users[rows], items + start)
        return scores

    def _mix_pairs(self, users: Tensor, items: Tensor) -> Tensor:
        scores = self.users.new_empty(len(users))
        for start in range(0, len(users), PAIRS_AT_ONCE):
            chunk = slice(start, start + PAIRS_AT_ONCE)
            scores[chunk] = self._mix_few_pairs(users[chunk], items[chunk])
        return scores

    def _mix_few_pairs(self, users: Tensor, items: Tensor) -> Tensor:
        products = (self.users[users] * self.items[items]).sum(dim=-1)
        if self._gates is not None:
            mine, theirs = self._gates
            products = products * (mine[users] + theirs[items]).softmax(dim=-1)
        return products.sum(dim=-1) * self.scale


@dataclass(frozen=True, eq=False)
class _Side:
    """One side of the ratio: the users' or the items'."""

    factors: Float[Tensor, "F rows"]
    weights: Float[Tensor, "E rows"] | None
    lowest: Float[Tensor, ""] | None

    @property
    def floor(self) -> float:
        """The smallest logit after each row's largest was subtracted."""
        return 0.0 if self.lowest is None else float(self.lowest)

    @classmethod
    def build(cls, vectors: Float[Tensor, "rows E D"], gates: Tensor | None) -> "_Side":
        if gates is None:
            return cls(vectors.flatten(1).T.contiguous(), None, None)
        logits = gates - gates.amax(dim=1, keepdim=True)
        weights = logits.exp()
        factors = (vectors * weights[:, :, None]).flatten(1)
        lowest = logits.min() if logits.numel() else None
        return cls(factors.T.contiguous(), weights.T.contiguous(), lowest)


def items_at_once(n_rows: int, device: torch.device) -> int:
    """Return how many items' scores are worked on in one go, for so many users."""
    if device.type not in SCORES_AT_ONCE:
        return 1 << 30
    return max(FEWEST_ITEMS, SCORES_AT_ONCE[device.type] // max(n_rows, 1))


def _smallest_denominator(dtype: torch.dtype) -> float:
    """Return the denominator below which a ratio is not trusted.

    It stands well above the smallest normal number: then a term that was lost to underflow, even
    where the processor flushes subnormal numbers to zero, is too small to be missed.
    """
    return torch.finfo(dtype).tiny * 2.0**27
