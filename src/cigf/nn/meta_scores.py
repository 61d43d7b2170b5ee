"""The scores of `MetaHead` and their gradient, for lists of pairs: a user under one source each.

    p_a = [u_a * i_a || u_a || i_a],  g = phi([c_a * c_b || c_a || c_b] F_2 + f_2)
    score = phi(p_a reshape(g F_3 + f_3) + g F_4 + f_4) (g F_5 + f_5)

The layer of a pair, (3 D, D), is never made. With [g || 1] and [i || 1] the hidden vector is a sum
over both of their coordinates, whose coefficients depend on the user and the source alone: they are
made once per list, and all of its pairs are then one matrix product. That is a third of the work
of making the layers. The coefficients of the last two terms are appended to the same product.

Axes: n pairs, A sources, r lists, m pairs of one, D size, G = 3 D + 1 coordinates of [g || 1],
J = D + 2 blocks of coefficients: with each coordinate of the item, with none, of the output.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn.functional import leaky_relu, pad, relu

from cigf.compiled import arrays, run, split_evenly, usable
from cigf.nn.products import product

SLOPE = 0.1
"""Of the leaky ReLU."""

LISTS_AT_ONCE = 8
"""Lists whose coefficients are held at once, each G J D numbers."""

Weights = Sequence[Tensor]
"""F_1 to F_5, then f_1 to f_5."""


class Generating(NamedTuple):
    """The generating weights by what they meet; the last of G are the biases.

    Args:
        both: What goes with u * i; shape (G, D, D): meta, item, hidden.
        of_user: With u, shape (D, G, D): user, meta, hidden.
        of_item: With i, as `both`.
        ends: Of the hidden vector's bias and of the output layer, (G, 2, D).
    """

    both: Tensor
    of_user: Tensor
    of_item: Tensor
    ends: Tensor

    @classmethod
    def of(cls, weights: Weights) -> "Generating":
        """Take F_3 to F_5 and their biases apart."""
        layer, bias, output = (
            torch.cat([weights[number], weights[5 + number][None]]) for number in (2, 3, 4)
        )
        size = bias.shape[1]
        both, of_user, of_item = layer.view(-1, 3, size, size).unbind(1)
        by_user = of_user.transpose(0, 1).contiguous()
        ends = torch.stack([bias, output], dim=1)
        return cls(both.contiguous(), by_user, of_item.contiguous(), ends)

    def together(self) -> list[Tensor]:
        """Return F_3, F_4, F_5 and their biases: the reverse of `of`."""
        parts = self.both, self.of_user.transpose(0, 1), self.of_item
        layer = torch.stack(parts, dim=1).flatten(1)
        several = (layer, self.ends[:, 0], self.ends[:, 1])
        return [each[:-1] for each in several] + [each[-1] for each in several]

    def room(self, n_lists: int) -> Float[Tensor, "r G J D"]:
        """Return room for the coefficients of some lists, or for their gradient."""
        n_meta, size = self.both.shape[:2]
        return self.both.new_empty(n_lists, n_meta, size + 2, size)

    def coefficients(
        self, users: Float[Tensor, "r D"], out: Float[Tensor, "r G J D"]
    ) -> Float[Tensor, "r G J D"]:
        """Set out to what the sums over [g || 1] and [i || 1], and the output, are weighted by."""
        n_meta, size = self.both.shape[:2]
        if usable(users, self.both):
            from cigf.nn.meta_kernels import coefficients  # needs numba

            given = arrays(users.contiguous(), self.both, self.of_item, out)
            run(coefficients, split_evenly(len(users), n_meta * size), *given)
        else:
            out[:, :, :size] = users[:, None, :, None] * self.both + self.of_item
        alone = users @ self.of_user.flatten(1)
        out[:, :, size:] = self.ends
        out[:, :, size] += alone.view(len(users), n_meta, size)
        return out

    def add_gradient(
        self, gradient: Float[Tensor, "r G J D"], users: Float[Tensor, "r D"], sums: "Generating"
    ) -> Float[Tensor, "r D"]:
        """Add the gradient of `coefficients` to sums, and return that by the users."""
        size = users.shape[1]
        alone = gradient[:, :, size].flatten(1)
        to_users = alone @ self.of_user.flatten(1).T
        sums.of_user.flatten(1).addmm_(users.T, alone)
        sums.ends.add_(gradient[:, :, size:].sum(0))
        if usable(users, gradient):
            from cigf.nn.meta_kernels import collect  # needs numba

            parts = (gradient, users, self.both, sums.both, sums.of_item, to_users)
            collect(*arrays(*parts))
            return to_users
        with_items = gradient[:, :, :size]
        sums.both.add_(torch.einsum("rj,rgjd->gjd", users, with_items))
        sums.of_item.add_(with_items.sum(0))
        return to_users + torch.einsum("gjd,rgjd->rj", self.both, with_items)


def score_lists(
    weights: Weights,
    generating: Generating,
    users: Float[Tensor, "r D"],
    items: Float[Tensor, "#r m D"],
    source: Float[Tensor, "r m D"],
    target: Float[Tensor, "r m D"],
) -> Float[Tensor, "r m"]:
    """Score every list's own pairs, or the same items for all lists; no gradient passes.

    Args:
        weights: Of the head.
        generating: `Generating.of` them.
        users: Under the source.
        items: Likewise.
        source: c of the pairs under their source.
        target: c of the pairs under their target.
    """
    with torch.no_grad():
        meta = leaky_relu(second_layer(weights, source, target)[1], SLOPE)
        coefficients = generating.coefficients(users, generating.room(len(users))).flatten(2)
        extended = pad(meta, (0, 1), value=1.0)
        scores = []
        for row, own in enumerate(coefficients):
            made = product(extended[row], own).view(1, meta.shape[1], -1, users.shape[1])
            scores.append(finish(made, items if len(items) == 1 else items[row : row + 1]))
        return torch.cat(scores)


def second_layer(weights: Weights, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """What the second layer is given, and what it returns before its activation."""
    inputs = torch.cat([source * target, source, target], dim=-1)
    return inputs, inputs @ weights[1] + weights[6]


def finish(made: Float[Tensor, "r m J D"], items: Float[Tensor, "#r m D"]) -> Tensor:
    """Return the scores, given g times the coefficients."""
    size = items.shape[2]
    if usable(made, items):
        from cigf.nn.meta_kernels import scores  # needs numba

        out = made.new_empty(made.shape[:2])
        given = arrays(made, items.contiguous())
        shared = len(items) < len(made)
        borders = split_evenly(len(made), made[0].numel() // size)
        run(scores, borders, *given, shared, SLOPE, *arrays(out))
        return out
    hidden = (items[..., None, :] @ made[:, :, :size])[:, :, 0] + made[:, :, size]
    return (leaky_relu(hidden, SLOPE) * made[:, :, size + 1]).sum(-1)


class Walked(NamedTuple):
    """The gradient of hinges, as far back as what was multiplied with the coefficients.

    Args:
        places: The k entries that have one.
        to_items: As far as the last layer reads them, (k, D).
        to_made: (n >= k, J D); rows after the first k mean nothing.
        extended: What described those entries, (n, G); rows after the first k are 0.
    """

    places: Int64[Tensor, "k"]
    to_items: Float[Tensor, "k D"]
    to_made: Float[Tensor, "n JD"]
    extended: Float[Tensor, "n G"]


def compare(
    made: Float[Tensor, "n J D"],
    items: Float[Tensor, "m D"],
    extended: Float[Tensor, "n G"],
    pairs: tuple[Int64[Tensor, "p"], Int64[Tensor, "p"]],
    steps: Float[Tensor, "p"],
    scale: float,
    losses: Float[Tensor, "p"],
) -> Walked:
    """Add the hinges of pairs of entries to losses, and walk their gradient back.

    Args:
        made: g times the coefficients, of n >= m entries; used up.
        items: The m entries' items.
        extended: [g || 1].
        pairs: The entry that is to score higher, and the other.
        steps: What each hinge's gradient is multiplied with; those with 0 have none.
        scale: Factor of the scores.
        losses: What is added to.
    """
    n_entries = len(items)
    if usable(made, items):
        from cigf.nn.meta_kernels import compare as compiled  # needs numba

        places = torch.empty(n_entries, dtype=torch.int64)
        to_items, kept = torch.empty_like(items), torch.empty_like(extended)
        tensors = (made, items, extended, *pairs, steps, losses, places, to_items, kept)
        given: list[Any] = [*arrays(*tensors), scale, SLOPE]
        k = compiled(*given)
        return Walked(places[:k], to_items[:k], made.flatten(1), kept)
    scores = scale * finish(made[None, :n_entries], items[None])[0]
    margins = 1.0 - scores[pairs[0]] + scores[pairs[1]]
    losses += relu(margins)
    change = torch.where(margins > 0, steps, 0.0)
    gradient = torch.zeros_like(scores)
    gradient.index_add_(0, pairs[0], -change).index_add_(0, pairs[1], change)
    places = gradient.nonzero()[:, 0]
    items, made, gradient = items[places], made[places], gradient[places]
    to_items = _finish_gradient(made, items, gradient)
    return Walked(places, to_items, made.flatten(1), extended[places])


def _finish_gradient(
    made: Float[Tensor, "k J D"], items: Float[Tensor, "k D"], gradient: Float[Tensor, "k"]
) -> Float[Tensor, "k D"]:
    """Return the gradient of `finish` by the items; that by `made` is put in its place."""
    size = items.shape[1]
    hidden = (items[:, None] @ made[:, :size])[:, 0] + made[:, size]
    outputs = made[:, size + 1].clone()
    made[:, size + 1] = gradient[:, None] * leaky_relu(hidden, SLOPE)
    to_hidden = gradient[:, None] * outputs * torch.where(hidden > 0, 1.0, SLOPE)
    to_items = (made[:, :size] @ to_hidden[..., None])[..., 0]
    made[:, :size] = items[..., None] * to_hidden[:, None]
    made[:, size] = to_hidden
    return to_items


def score_sources(
    weights: Weights,
    users: Float[Tensor, "u A D"],
    items: Float[Tensor, "n A D"],
    described: Float[Tensor, "n A D"],
    target: Float[Tensor, "n D"],
    rows: Int64[Tensor, "n"],
) -> Float[Tensor, "n A"]:
    """Score pairs from every source; no gradient passes. See `MetaHead.of_sources`."""
    generating = Generating.of(weights)
    out = items.new_empty(items.shape[:2]).flatten()
    for lists in _lists(rows, items.shape[1]):
        found = score_lists(weights, generating, *lists.take(users, items, described, target))
        out[lists.places[lists.real]] = found[lists.real]
    return out.view(items.shape[:2])


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
        self.owners, self.places, self.real = owners, places, real
        self._n_sources = n_sources

    def take(
        self, users: Tensor, items: Tensor, described: Tensor, target: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the users (r, D), and the pairs' items and descriptions, (r, m, D)."""
        shape = (*self.places.shape, users.shape[2])
        flat = self.places.flatten()
        return (
            users.flatten(0, 1)[self.owners],
            items.flatten(0, 1).index_select(0, flat).view(shape),
            described.flatten(0, 1).index_select(0, flat).view(shape),
            target.index_select(0, flat // self._n_sources).view(shape),
        )


def _lists(rows: Int64[Tensor, "n"], n_sources: int) -> Iterator[_Lists]:
    """Sort the pairs by user and source, and yield lists of about equal lengths."""
    places = torch.arange(len(rows) * n_sources, device=rows.device)
    owner = rows[places // n_sources] * n_sources + places % n_sources
    owner, places = owner.sort(stable=True)
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
