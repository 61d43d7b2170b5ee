"""The best k items of each user: masked, in a total order, in blocks."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from cigf.data.dataset import Matrix
from cigf.data.tasks import GROUPS, Group
from cigf.errors import ConfigError
from cigf.ranking.ragged import RaggedRows, as_tensor
from cigf.ranking.scorer import Scorer
from cigf.ranking.shares import in_shares

Only = Group
"""What a list may be restricted to."""

_STRETCH = 128
"""Items of which the best one is looked for first."""

_LEAST_SAVED = 4
"""How many times the stretches that are looked into a catalog must hold, for looking to pay."""

NO_ITEM = -1
"""Fills the places of a list for which there is no item left."""


def top_k(
    scorer: Scorer,
    users: NDArray[np.int64],
    k: int,
    *,
    seen: Matrix | None = None,
    touched: Matrix | None = None,
    only: str = "all",
    allow: NDArray[np.int64] | None = None,
    deny: NDArray[np.int64] | None = None,
    block_size: int | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return each user's k best items, best first; equal scores stand in the order of the items.

    An item whose score is NaN or -inf is never returned.

    Args:
        scorer: The scores.
        users: The users, in the order of the answer, shape (b,).
        k: Length of the lists.
        seen: Pairs to leave out.
        touched: Pairs of the "touched" group; needed unless `only` is "all".
        only: Keep all items, only touched ones, or only those not touched.
        allow: Items to choose from; None allows all.
        deny: Items to leave out.
        block_size: Users scored at once; None chooses.

    Returns:
        Items, shape (b, k), `NO_ITEM` (-1) where none is left; and their scores, -inf there.

    Raises:
        ConfigError: k is below 1, or `only` is unknown or lacks `touched`.
    """
    if k < 1:
        raise ConfigError(f"k is {k}; it must be at least 1")
    mask = _Mask(scorer, seen, touched, only, allow, deny)
    rows = as_tensor(users, scorer.device)

    @torch.no_grad()
    def choose(share: slice) -> tuple[Int64[Tensor, "n k"], Float[Tensor, "n k"]]:
        items = torch.full((share.stop - share.start, k), NO_ITEM)
        values = torch.full(items.shape, -torch.inf)
        start = 0
        for scores in scorer.blocks(rows[share], block_size):
            block = slice(start, start + len(scores))
            mask.apply(scores, rows[share][block])
            best, best_scores = _best(scores, min(k, scores.shape[1]))
            items[block, : best.shape[1]] = best.cpu()
            values[block, : best.shape[1]] = best_scores.cpu()
            start = block.stop
        return items, values

    parts = in_shares(choose, len(rows), scorer.device)
    lists, scores = (torch.cat(list(part)).numpy() for part in zip(*parts, strict=True))
    return lists, scores


class _Mask:
    """Sets the scores of everything that may not be returned to -inf."""

    def __init__(
        self,
        scorer: Scorer,
        seen: Matrix | None,
        touched: Matrix | None,
        only: str,
        allow: NDArray[np.int64] | None,
        deny: NDArray[np.int64] | None,
    ) -> None:
        if only not in GROUPS:
            raise ConfigError(f"only={only!r} is not known; choose all, touched or new")
        if touched is None and only != "all":
            raise ConfigError(f"only={only!r} needs to know which items were touched; give touched")
        self._only = only
        self._seen = None if seen is None else RaggedRows(seen, scorer.device)
        self._touched = None if touched is None else RaggedRows(touched, scorer.device)
        self._hidden = _hidden_items(scorer, allow, deny)

    def apply(self, scores: Float[Tensor, "b I"], users: Int64[Tensor, "b"]) -> None:
        """Mask the rows of some users in place."""
        if self._touched is not None and self._only != "all":
            entries = self._touched.read(users)
            if self._only == "new":
                scores[entries] = -torch.inf
            else:
                kept = scores[entries]
                scores.fill_(-torch.inf)[entries] = kept
        if self._seen is not None:
            scores[self._seen.read(users)] = -torch.inf
        if self._hidden is not None:
            scores.masked_fill_(self._hidden, -torch.inf)


def _hidden_items(
    scorer: Scorer, allow: NDArray[np.int64] | None, deny: NDArray[np.int64] | None
) -> Bool[Tensor, "I"] | None:
    if allow is None and deny is None:
        return None
    hidden = torch.full((scorer.n_items,), allow is not None, device=scorer.device)
    if allow is not None:
        hidden[as_tensor(allow, scorer.device)] = False
    if deny is not None:
        hidden[as_tensor(deny, scorer.device)] = True
    return hidden


def _best(
    scores: Float[Tensor, "b I"], k: int
) -> tuple[Int64[Tensor, "b k"], Float[Tensor, "b k"]]:
    """Return the k best of each row in the total order (score descending, item ascending).

    NaN counts as -inf, and becomes that in place.
    """
    # One more than asked for tells whether the last score is shared with items left out.
    n_looked_at = min(k + 1, scores.shape[1])
    values, items = _largest(scores, n_looked_at)
    if n_looked_at > k:
        shared = (values[:, k - 1] == values[:, k]) & (values[:, k] > -torch.inf)
        rows = shared.nonzero()[:, 0]
        values, items = values[:, :k], items[:, :k]
        items[rows] = _first_of_equals(scores[rows], values[rows], items[rows])
    items = torch.where(values > -torch.inf, items, scores.shape[1])
    # Two stable sorts make the order total: by item, then by score.
    by_item = items.sort(dim=1)
    values = values.gather(1, by_item.indices)
    by_score = values.sort(dim=1, descending=True, stable=True)
    items = by_item.values.gather(1, by_score.indices)
    return items.where(by_score.values > -torch.inf, NO_ITEM), by_score.values


def _largest(
    scores: Float[Tensor, "b I"], k: int
) -> tuple[Float[Tensor, "b k"], Int64[Tensor, "b k"]]:
    """Return each row's k largest scores, of equal ones any, with their items; NaN as -inf.

    In a large catalog they are looked for in the k stretches of items whose best scores are the
    largest: of any other stretch there are k scores that are not smaller. A selection among all
    items would look at each of them as a pair of a score and a number, five times as slowly.
    """
    n_stretches = scores.shape[1] // _STRETCH
    if scores.device.type != "cpu" or n_stretches < _LEAST_SAVED * k:
        scores.nan_to_num_(-torch.inf, torch.inf, -torch.inf)
        return scores.topk(k, dim=1)
    stretches = scores[:, : n_stretches * _STRETCH].view(-1, n_stretches, _STRETCH)
    rest = scores[:, n_stretches * _STRETCH :]
    best = stretches.amax(dim=2)
    if best.isnan().any() or rest.isnan().any():
        scores.nan_to_num_(-torch.inf, torch.inf, -torch.inf)
        best = stretches.amax(dim=2)
    chosen = best.topk(k, dim=1).indices
    places = (chosen[:, :, None] * _STRETCH + torch.arange(_STRETCH)).flatten(1)
    few = torch.cat([scores.gather(1, places), rest], dim=1)
    values, found = few.topk(k, dim=1)
    beyond = n_stretches * _STRETCH - places.shape[1]
    inside = places.gather(1, found.clamp(max=places.shape[1] - 1))
    return values, torch.where(found < places.shape[1], inside, found + beyond)


def _first_of_equals(
    scores: Float[Tensor, "b I"], values: Float[Tensor, "b k"], items: Int64[Tensor, "b k"]
) -> Int64[Tensor, "b k"]:
    """Replace the items that share the last score by the first ones with that score."""
    n_items, last = scores.shape[1], values[:, -1:]
    positions = torch.arange(n_items, device=scores.device)
    firsts = torch.where(scores == last, positions, n_items).topk(
        items.shape[1], dim=1, largest=False
    )
    # `firsts` ascends, and the equals stand last in `items`: the j-th of them gets the j-th.
    place = (values == last).cumsum(dim=1) - 1
    return torch.where(place >= 0, firsts.values.gather(1, place.clamp(min=0)), items)
