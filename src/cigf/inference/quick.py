"""Lists in NumPy: what a server computes for one request, without torch's cost per operation.

The same equation as `ScoreFactors`, whose torch form is quicker for thousands of users at once.

Axes: n users, I items, E experts, D embedding size, F = E * D.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_FEWEST_FOR_PRODUCT = 6
"""From so many users on, one matrix product is quicker than a vector product for each."""

_BLOCK = 1024
"""Scores whose largest is looked at first."""


@dataclass(frozen=True, eq=False)
class UserFactors:
    """What is needed of a user to score her.

    Args:
        vectors: x, shape (E, D).
        gates: Logits p, shape (E,); None where the experts are summed plainly.
    """

    vectors: Floats
    gates: Floats | None


@dataclass(frozen=True, eq=False)
class ItemFactors:
    """All items of one behavior, ready to be multiplied.

    Args:
        vectors: y, shape (I, E, D).
        gates: Logits q, shape (I, E); None where the experts are summed plainly.
        bias: Added to each item's scores, shape (I,), or None.
        scale: Factor of every score.
        factors: The weighted vectors, shape (F, I).
        weights: exp(q), each item's largest being 1, shape (E, I).
        floor: The smallest logit after that.
    """

    vectors: Floats
    gates: Floats | None
    bias: Floats | None
    scale: float
    factors: Floats
    weights: Floats | None
    floor: float

    @classmethod
    def build(
        cls, vectors: Floats, gates: Floats | None, bias: Floats | None, scale: float
    ) -> "ItemFactors":
        """Weigh the vectors and lay them out item by item."""
        flat = vectors.reshape(len(vectors), -1)
        if gates is None:
            factors = np.ascontiguousarray((flat * np.float32(scale)).T)
            return cls(vectors, gates, bias, scale, factors, None, 0.0)
        logits = gates - gates.max(axis=1, keepdims=True)
        weights = np.exp(logits)
        weighted = (vectors * (scale * weights)[:, :, None]).reshape(flat.shape)
        factors = np.ascontiguousarray(weighted.T, dtype=np.float32)
        floor = float(logits.min()) if logits.size else 0.0
        return cls(vectors, gates, bias, scale, factors, np.ascontiguousarray(weights.T), floor)

    @property
    def is_gated(self) -> bool:
        """Whether the experts are weighed, rather than summed plainly."""
        return self.gates is not None

    def score(self, users: Sequence[UserFactors]) -> Floats:
        """Return the scores of some users with all items, shape (n, I), in fresh memory."""
        x = np.stack([user.vectors for user in users])
        gates = [user.gates for user in users if user.gates is not None]
        if not gates:
            scores = _product(x.reshape(len(x), -1), self.factors)
        else:
            scores = self._score_gated(x, np.stack(gates))
        if self.bias is not None:
            scores += self.bias
        return scores

    def score_some(self, user: UserFactors, items: NDArray[np.int64]) -> Floats:
        """Return a user's scores with some items, one by one."""
        x = np.broadcast_to(user.vectors, (len(items), *user.vectors.shape))
        if user.gates is None:
            scores = np.float32(self.scale) * (x * self.vectors[items]).sum(axis=(1, 2))
        else:
            gates = np.broadcast_to(user.gates, (len(items), len(user.gates)))
            scores = self._score_pairs(x, gates, items)
        if self.bias is not None:
            scores = scores + self.bias[items]
        found: Floats = scores.astype(np.float32, copy=False)
        return found

    def _score_gated(self, x: NDArray[np.float32], gates: Floats) -> Floats:
        assert self.weights is not None
        logits = gates - gates.max(axis=1, keepdims=True)
        weights = np.exp(logits)
        scores = _product((x * weights[:, :, None]).reshape(len(x), -1), self.factors)
        denominators = _product(weights, self.weights)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            scores /= denominators
        # As in `ScoreFactors`: a denominator that two opposed sides made tiny is not trusted.
        smallest = float(np.finfo(np.float32).tiny) * 2.0**27
        if min(self.floor, float(logits.min())) < math.log(smallest):
            rows, items = np.nonzero(~(denominators >= smallest))
            scores[rows, items] = self._score_pairs(x[rows], gates[rows], items)
        return scores

    def _score_pairs(self, x: Floats, gates: Floats, items: NDArray[np.intp]) -> Floats:
        assert self.gates is not None
        products = (x * self.vectors[items]).sum(axis=-1)
        logits = gates + self.gates[items]
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        mixed: Floats = (products * weights).sum(axis=1) / weights.sum(axis=1)
        return mixed * np.float32(self.scale)


def _product(rows: Floats, columns: Floats) -> Floats:
    if 1 < len(rows) < _FEWEST_FOR_PRODUCT:
        return np.concatenate([row[None] @ columns for row in rows])
    product: Floats = rows @ columns
    return product


def best(scores: NDArray[Any], k: int) -> NDArray[np.intp]:
    """Return the places of the k best scores; equal scores stand in their order.

    A score that is NaN or -inf is never returned, so there may be fewer than k.
    """
    eligible = scores[: len(scores) // _BLOCK * _BLOCK].reshape(-1, _BLOCK)
    lowest = -np.inf
    if len(eligible) > k:
        # The k largest scores are not below the k-th of the blocks' largest.
        largest = np.fmax.reduce(eligible, axis=1, initial=-np.inf)
        lowest = np.partition(largest, len(largest) - k)[len(largest) - k]
    places = np.flatnonzero(scores >= lowest) if lowest > -np.inf else _finite(scores)
    if len(places) > 4 * k:
        ordered = scores[places]
        bound = np.partition(ordered, len(ordered) - k)[len(ordered) - k]
        places = places[ordered >= bound]
    order = np.argsort(-scores[places], kind="stable")[:k]
    return places[order]


def _finite(scores: NDArray[Any]) -> NDArray[np.intp]:
    return np.flatnonzero(scores > -np.inf)
