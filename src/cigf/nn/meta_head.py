"""MB-GMN's scores: every pair, source and target has a layer of its own, made by a network.

    p_a = [u_a * i_a || u_a || i_a],  c_a = phi(p_a F_1 + f_1)
    g = phi([c_a * c_b || c_a || c_b] F_2 + f_2)
    score = scale phi(p_a reshape(g F_3 + f_3) + g F_4 + f_4) (g F_5 + f_5)

The layer of a pair, (3 D, D), is never made. With [g || 1] and [i || 1] the hidden vector is a sum
over both of their coordinates, whose coefficients depend on the user and the source alone: they are
made once per user, and all of her pairs are then one matrix product. That is a third of the work
of making the layers.

Axes: n pairs, e pairs under one source each, r users under one source each, m pairs of one, D size.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pad

from cigf.nn.init import xavier_uniform

SLOPE = 0.1
"""Of the leaky ReLU."""

LISTS_AT_ONCE = 16
"""Users under a source whose coefficients are held at once, each (3 D + 1) (D + 1) D numbers."""

Weights = Sequence[Tensor]
"""F_1 to F_5, then f_1 to f_5."""


class MetaHead(nn.Module):
    """Scores of pairs; see the module.

    Args:
        size: D.
        scale: Factor of every score.
        generator: Source of the initial weights.
    """

    def __init__(self, size: int, scale: float, generator: torch.Generator) -> None:
        super().__init__()
        self.scale = scale
        wide = 3 * size
        shapes = ((wide, size), (wide, wide), (wide, wide * size), (wide, size), (wide, size))
        self.weights = nn.ParameterList(xavier_uniform(shape, generator) for shape in shapes)
        self.biases = nn.ParameterList(torch.zeros(shape[1]) for shape in shapes)

    def describe(
        self, users: Float[Tensor, "*u D"], items: Float[Tensor, "*i D"]
    ) -> Float[Tensor, "*n D"]:
        """Return c of pairs, with broadcasting."""
        both = users * items
        pairs = torch.cat([both, users.expand_as(both), items.expand_as(both)], dim=-1)
        return _layer(self._all(), 0, pairs)

    def forward(
        self,
        users: Float[Tensor, "r D"],
        items: Float[Tensor, "#r m D"],
        source: Float[Tensor, "r m D"],
        target: Float[Tensor, "r m D"],
    ) -> Float[Tensor, "r m"]:
        """Score every user's own pairs.

        Args:
            users: Under the source.
            items: Likewise.
            source: c of the pairs under their source.
            target: c of the pairs under their target.
        """
        return self.scale * _scores(self._all(), users, items, source, target)

    def of_sources(
        self,
        users: Float[Tensor, "u A D"],
        items: Float[Tensor, "n A D"],
        described: Float[Tensor, "n A D"],
        target: Float[Tensor, "n D"],
        rows: Int64[Tensor, "n"],
    ) -> Float[Tensor, "n A"]:
        """Score pairs from every source.

        What is needed for the gradient is computed again then, and only for the scores that have
        one: a hinge loss has none for pairs in order.

        Args:
            users: Under every source.
            items: Each pair's, under every source.
            described: c under every source.
            target: c under each pair's target.
            rows: Each pair's user.
        """
        out: Tensor = _OfSources.apply(  # type: ignore[no-untyped-call]
            rows, users, items, described, target, *self._all()
        )
        return self.scale * out

    def _all(self) -> Weights:
        return [*self.weights, *self.biases]


def _layer(weights: Weights, number: int, x: Tensor) -> Tensor:
    return leaky_relu(x @ weights[number] + weights[5 + number], SLOPE)


def _scores(
    weights: Weights,
    users: Float[Tensor, "r D"],
    items: Float[Tensor, "#r m D"],
    source: Float[Tensor, "r m D"],
    target: Float[Tensor, "r m D"],
) -> Float[Tensor, "r m"]:
    """Scores, without their factor."""
    meta = _layer(weights, 1, torch.cat([source * target, source, target], dim=-1))
    made = pad(meta, (0, 1), value=1.0) @ _coefficients(weights, users).flatten(2)
    items = pad(items, (0, 1), value=1.0).expand(*meta.shape[:2], -1)
    hidden = items[..., None, :] @ made.view(*items.shape, -1)
    bias, output = (meta @ weights[number] + weights[5 + number] for number in (3, 4))
    return (leaky_relu(hidden[..., 0, :] + bias, SLOPE) * output).sum(-1)


def _coefficients(weights: Weights, users: Float[Tensor, "r D"]) -> Float[Tensor, "r G J D"]:
    """Return what the hidden vector's sum over [g || 1] and [i || 1] is weighted by.

    p = [u * i || u || i] meets three blocks of the generated layer: the first and the last go
    with i, the second with the 1 beside it.
    """
    size = users.shape[1]
    made = torch.cat([weights[2], weights[7][None]]).view(-1, 3, size, size)
    both, of_user, of_item = made.unbind(1)
    with_items = users[:, None, :, None] * both + of_item
    alone = (users @ of_user.transpose(0, 1).flatten(1)).view(len(users), -1, 1, size)
    return torch.cat([with_items, alone], dim=2)


class _OfSources(torch.autograd.Function):
    """`MetaHead.of_sources` without the factor."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, *tensors: Tensor) -> Tensor:
        ctx.save_for_backward(rows, *tensors)
        users, items, described, target, *weights = tensors
        out = items.new_empty(items.shape[:2])
        everything = torch.ones_like(out, dtype=torch.bool)
        for lists in _lists(rows, everything):
            found = _of_lists(lists, users, items, described, target, weights)
            out[lists.pairs[lists.real], lists.sources[lists.real]] = found[lists.real]
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows, *tensors = ctx.saved_tensors
        leaves = [each.detach().requires_grad_() for each in tensors]
        users, items, described, target, *weights = leaves
        for lists in _lists(rows, gradients[0] != 0):
            with torch.enable_grad():
                found = _of_lists(lists, users, items, described, target, weights)
            wanted = gradients[0][lists.pairs, lists.sources] * lists.real
            torch.autograd.backward(found, wanted)
        return None, *(each.grad for each in leaves)


class _Lists:
    """Pairs of some users under some source each, filled up to equal lengths.

    Args:
        owners: Row of each user, times the number of sources, plus the source; shape (r,).
        places: Each one's pairs, times the number of sources, plus the source; shape (r, m).
        real: Which of them are no filling, shape (r, m).
        n_sources: A.
    """

    def __init__(
        self,
        owners: Int64[Tensor, "r"],
        places: Int64[Tensor, "r m"],
        real: Bool[Tensor, "r m"],
        n_sources: int,
    ) -> None:
        self.rows, self.source = owners // n_sources, owners % n_sources
        self.pairs, self.sources = places // n_sources, places % n_sources
        self.real = real


def _of_lists(
    lists: _Lists,
    users: Tensor,
    items: Tensor,
    described: Tensor,
    target: Tensor,
    weights: Weights,
) -> Float[Tensor, "r m"]:
    at = lists.pairs, lists.sources
    mine = users[lists.rows, lists.source]
    return _scores(weights, mine, items[at], described[at], target[lists.pairs])


def _lists(rows: Int64[Tensor, "n"], wanted: Bool[Tensor, "n A"]) -> Iterator[_Lists]:
    """Sort the wanted scores by user and source, and yield lists of about equal lengths."""
    n_sources = wanted.shape[1]
    places = wanted.flatten().nonzero()[:, 0]
    owner = rows[places // n_sources] * n_sources + places % n_sources
    owner, order = owner.sort(stable=True)
    places = places[order]
    counts = torch.bincount(owner)
    owners = counts.nonzero()[:, 0]
    counts = counts[owners]
    starts = counts.cumsum(0) - counts
    by_length = counts.argsort(descending=True, stable=True)
    for first in range(0, len(by_length), LISTS_AT_ONCE):
        chosen = by_length[first : first + LISTS_AT_ONCE]
        longest = torch.arange(int(counts[chosen[0]]), device=rows.device)
        real = longest < counts[chosen, None]
        at = torch.where(real, starts[chosen, None] + longest, 0)
        yield _Lists(owners[chosen], places[at], real, n_sources)
