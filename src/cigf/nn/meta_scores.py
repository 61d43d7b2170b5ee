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

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import leaky_relu, pad, relu

from cigf.compiled import arrays, run, split_evenly, usable
from cigf.nn.products import product

SLOPE = 0.1
"""Of the leaky ReLU."""

USERS_AT_ONCE = 8
"""Users whose coefficients are held at once, each G J D numbers."""

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
    users: Float[Tensor, "r D"],
    items: Float[Tensor, "#r m D"],
    source: Float[Tensor, "r m D"],
    target: Float[Tensor, "r m D"],
) -> Float[Tensor, "r m"]:
    """Score every list's own pairs, or the same items for all lists; no gradient passes.

    Args:
        weights: Of the head.
        users: Under the source.
        items: Likewise.
        source: c of the pairs under their source.
        target: c of the pairs under their target.
    """
    generating = Generating.of(weights)
    with torch.no_grad():
        coefficients = generating.coefficients(users, generating.room(len(users))).flatten(2)
        extended = _extended(weights, source, target)
        of_each = items.expand(len(users), -1, -1)
        return torch.stack(list(map(_score, coefficients, extended, of_each)))


def score_pairs(
    weights: Weights,
    users: Float[Tensor, "u D"],
    items: Float[Tensor, "n D"],
    source: Float[Tensor, "n D"],
    target: Float[Tensor, "n D"],
    rows: Int64[Tensor, "n"],
) -> Float[Tensor, "n"]:
    """Score pairs, of every user as many as there are; no gradient passes.

    Args:
        weights: Of the head.
        users: Under the source.
        items: Each pair's, likewise.
        source: c of the pairs under their source.
        target: c of the pairs under their target.
        rows: Each pair's user.
    """
    out = items.new_empty(len(items))
    order, ends = rows.argsort(stable=True), torch.bincount(rows, minlength=len(users)).cumsum(0)
    generating = Generating.of(weights)
    with torch.no_grad():
        start = 0
        for first in range(0, len(users), USERS_AT_ONCE):
            chosen = users[first : first + USERS_AT_ONCE]
            made = generating.coefficients(chosen, generating.room(len(chosen))).flatten(2)
            for coefficients, end in zip(made, ends[first:].tolist(), strict=False):
                own, start = order[start:end], end
                extended = _extended(weights, source[own], target[own])
                out[own] = _score(coefficients, extended, items[own])
    return out


def _extended(
    weights: Weights, source: Float[Tensor, "*n D"], target: Float[Tensor, "*n D"]
) -> Float[Tensor, "*n G"]:
    """Return [g || 1]."""
    return pad(leaky_relu(second_layer(weights, source, target)[1], SLOPE), (0, 1), value=1.0)


def _score(
    coefficients: Float[Tensor, "G JD"], extended: Float[Tensor, "m G"], items: Float[Tensor, "m D"]
) -> Float[Tensor, "m"]:
    """Score the pairs of one user."""
    size = items.shape[1]
    made = product(extended, coefficients).view(len(items), size + 2, size)
    return finish(made, items)


def second_layer(weights: Weights, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """What the second layer is given, and what it returns before its activation."""
    inputs = torch.cat([source * target, source, target], dim=-1)
    return inputs, inputs @ weights[1] + weights[6]


def finish(made: Float[Tensor, "m J D"], items: Float[Tensor, "m D"]) -> Float[Tensor, "m"]:
    """Return the scores of a user's pairs, given g times her coefficients."""
    size = items.shape[1]
    if usable(made, items):
        from cigf.nn.meta_kernels import scores  # needs numba

        out = made.new_empty(len(made))
        given = arrays(made, items.contiguous())
        run(scores, split_evenly(len(made), made.shape[1]), *given, SLOPE, *arrays(out))
        return out
    hidden = (items[:, None] @ made[:, :size])[:, 0] + made[:, size]
    return (leaky_relu(hidden, SLOPE) * made[:, size + 1]).sum(1)


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
    scores = scale * finish(made[:n_entries], items)
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
