"""MB-GMN's hinge losses with their gradient in one sweep over the users.

The scores of a user's pairs, the coefficients of her layers and what the two make together are in
the caches when it is known which pairs are out of order: the gradient is taken there and then, for
these alone, as a hinge has none for the others. Nothing is kept but the gradient, nor computed
twice.

Axes: u users, n scored entries, p pairs (two entries each), A sources, B behaviors, m entries of
one user, k of her entries and sources with a gradient, D size, G and J as in `meta_scores`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import leaky_relu, pad

from cigf.nn.meta_scores import SLOPE, Generating, Weights, compare, second_layer
from cigf.nn.products import product

ROWS = 8
"""Entries come in multiples of so many."""


class Compared(NamedTuple):
    """What is scored and what is compared, sorted by users.

    Args:
        targets: The source that is each entry's target, (n,).
        borders: Where each user's entries begin, and the end; (u + 1,).
        positives: Entry of each pair, (p,).
        negatives: Likewise.
        behaviors: Of each pair, (p,).
        pair_borders: Where each user's pairs begin, and the end; (u + 1,).
        n_behaviors: B.
    """

    targets: Int64[Tensor, "n"]
    borders: Sequence[int]
    positives: Int64[Tensor, "p"]
    negatives: Int64[Tensor, "p"]
    behaviors: Int64[Tensor, "p"]
    pair_borders: Sequence[int]
    n_behaviors: int


class HingeOfSources(torch.autograd.Function):
    """Each behavior's mean of max(0, 1 - (positive - negative)), added up over the sources.

    Its gradient is of their sum, as training asks for; another weighting is swept once more.
    """

    @staticmethod
    def forward(ctx: Any, compared: Compared, scale: float, *tensors: Tensor) -> Tensor:
        """Return the losses, and take their gradient at once."""
        users, items, *weights = tensors
        ctx.given = compared, scale
        ctx.save_for_backward(*tensors)
        wanted = any(ctx.needs_input_grad)
        sweep = _Sweep(compared, scale, users, items, weights)
        losses = sweep.run(users.new_ones(compared.n_behaviors), wanted)
        ctx.gradients = sweep.gradients() if wanted else None
        return losses

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient that was taken, or that of another weighting."""
        found, factors = ctx.gradients, gradients[0]
        if not (factors == factors[0]).all():
            (compared, scale), (users, items, *weights) = ctx.given, ctx.saved_tensors
            sweep = _Sweep(compared, scale, users, items, weights)
            sweep.run(factors, wanted=True)
            return None, None, *sweep.gradients()
        return None, None, *(factors[0] * each for each in found)


class _User(NamedTuple):
    """What has been computed for a user's entries under all sources, (A, m, ...).

    Args:
        items: Her items, D numbers each.
        layer: Of what describes pairs, for her: (A, D, D).
        before: What describes them before the activation.
        described: And after it.
        target: That of each one's target, (m, D).
        inputs: Of the second layer.
        meta: What the second layer returns, before the activation.
        extended: After it, and 1: G numbers, of some more rows than there are entries.
    """

    items: Tensor
    layer: Tensor
    before: Tensor
    described: Tensor
    target: Tensor
    inputs: Tensor
    meta: Tensor
    extended: Tensor


class _Passed(NamedTuple):
    """What comes back through the layers of one source.

    Args:
        places: The k entries with a gradient, in (A, m) taken as one axis.
        to_items: As far as the last layer reads them, (k, D).
        to_meta: (k, G - 1).
    """

    places: Tensor
    to_items: Tensor
    to_meta: Tensor


class _Sweep:
    """One pass over the users and their sources; what is added up.

    One source after another, because what is computed for one fits a core's own cache; only their
    coefficients, and the gradient of these, for all at once: the generating weights do not fit it.
    """

    def __init__(
        self, compared: Compared, scale: float, users: Tensor, items: Tensor, weights: Weights
    ) -> None:
        self._compared, self._scale = compared, scale
        self._users, self._items, self._weights = users, items, weights
        self._generating = Generating.of(weights)
        self._room = self._generating.room(users.shape[1])
        self._first = weights[0].view(3, users.shape[2], -1)
        self._counts = torch.bincount(compared.behaviors, minlength=compared.n_behaviors)

    def run(self, factors: Float[Tensor, "B"], wanted: bool) -> Float[Tensor, "B"]:
        """Return the losses.

        Args:
            factors: Of the losses in what the gradient is of.
            wanted: Whether there is to be one.
        """
        compared = self._compared
        if wanted:
            self._begin()
        share = 1.0 / self._counts.clamp(min=1)
        steps = (float(wanted) * self._scale * factors * share)[compared.behaviors]
        losses = self._users.new_zeros(len(compared.positives))
        for row, (first, last) in enumerate(
            zip(compared.pair_borders[:-1], compared.pair_borders[1:], strict=True)
        ):
            if first == last:
                continue
            start, stop = compared.borders[row], compared.borders[row + 1]
            known = self._prepare(row, slice(start, stop))
            self._generating.coefficients(self._users[row], self._room)
            pairs = (
                compared.positives[first:last] - start,
                compared.negatives[first:last] - start,
            )
            walked = [
                self._through_layers(
                    row, known, source, pairs, steps[first:last], losses[first:last]
                )
                for source in range(len(known.items))
            ]
            if wanted:
                self._to_users[row] = self._generating.add_gradient(
                    self._to_room, self._users[row], self._to_generating
                )
                self._add(row, slice(start, stop), known, walked)
        sums = share.new_zeros(len(share)).index_add_(0, compared.behaviors, losses)
        return sums * share

    def _prepare(self, row: int, entries: slice) -> _User:
        """Compute all that comes before the generated layers."""
        both, of_user, of_item = self._first
        mine = self._users[row]
        items = self._items[entries].transpose(0, 1).contiguous()
        layer = mine[:, :, None] * both + of_item
        alone = mine @ of_user + self._weights[5]
        before = torch.baddbmm(alone[:, None], items, layer)
        described = leaky_relu(before, SLOPE)
        targets = self._compared.targets[entries]
        target = described[targets, torch.arange(len(targets), device=targets.device)]
        inputs, meta = second_layer(self._weights, described, target.expand_as(described))
        filling = _whole_steps(len(target)) - len(target)
        extended = pad(leaky_relu(meta, SLOPE), (0, 1, 0, filling), value=1.0)
        return _User(items, layer, before, described, target, inputs, meta, extended)

    def _begin(self) -> None:
        """Start the sums of the gradient."""
        self._to_users = torch.zeros_like(self._users)
        self._to_items = torch.zeros_like(self._items)
        self._to_generating = Generating(*map(torch.zeros_like, self._generating))
        self._to_room = self._generating.room(self._users.shape[1])
        self._to_first = torch.zeros_like(self._first)
        self._to_second = torch.zeros_like(self._weights[1])
        self._to_biases = [torch.zeros_like(self._weights[number]) for number in (5, 6)]

    def _through_layers(
        self,
        row: int,
        known: _User,
        source: int,
        pairs: tuple[Tensor, Tensor],
        steps: Float[Tensor, "p"],
        losses: Float[Tensor, "p"],
    ) -> _Passed:
        """Through the layers generated for one source, and back where a hinge has a gradient."""
        room = self._room[source]
        coefficients, extended = room.flatten(1), known.extended[source]
        made = product(extended, coefficients).view(len(extended), *room.shape[1:])
        walked = compare(made, known.items[source], extended, pairs, steps, self._scale, losses)
        n, n_entries = len(walked.places), len(known.items[source])
        if not n:
            self._to_room[source] = 0.0
            return _Passed(walked.places, walked.to_items, extended[:0, :-1])
        used = slice(_whole_steps(n))
        to_made = walked.to_made[used]
        to_meta = product(to_made, coefficients[:-1].T)[:n]
        self._to_room.flatten(2)[source] = product(walked.extended[used].T, to_made)
        return _Passed(walked.places + source * n_entries, walked.to_items, to_meta)

    def _add(self, row: int, entries: slice, known: _User, passed: Sequence[_Passed]) -> None:
        """Add what has come through the layers that a user's sources generated."""
        places, to_own, to_meta = (torch.cat(each) for each in zip(*passed, strict=True))
        if not len(places):
            return
        n_entries, size = known.target.shape
        to_meta = _passed(to_meta, _rows(known.meta, places))
        self._to_second.addmm_(_rows(known.inputs, places).T, to_meta)
        self._to_biases[1].add_(to_meta.sum(0))
        both, alone, other = (to_meta @ self._weights[1].T).chunk(3, dim=1)
        to_described, to_target = to_own.new_zeros(2, len(known.items) * n_entries, size)
        to_described[places] = both * known.target.index_select(0, places % n_entries) + alone
        to_target[places] = both * _rows(known.described, places) + other
        to_described = to_described.view(known.described.shape)
        at = self._compared.targets[entries], torch.arange(n_entries, device=places.device)
        to_described[at] += to_target.view_as(to_described).sum(0)
        to_items, to_users = self._through_first(row, known, to_described)
        to_items.flatten(0, 1)[places] += to_own
        self._to_users[row] += to_users
        self._to_items[entries] = to_items.transpose(0, 1)

    def _through_first(
        self, row: int, known: _User, to_described: Float[Tensor, "A m D"]
    ) -> tuple[Float[Tensor, "A m D"], Float[Tensor, "A D"]]:
        """Through what describes the pairs: to the items and to the user."""
        mine = self._users[row]
        to_before = _passed(to_described, known.before)
        to_layer = torch.bmm(known.items.transpose(1, 2), to_before)
        to_alone = to_before.sum(1)
        self._to_first[0].add_((mine[:, :, None] * to_layer).sum(0))
        self._to_first[1].addmm_(mine.T, to_alone)
        self._to_first[2].add_(to_layer.sum(0))
        self._to_biases[0].add_(to_alone.sum(0))
        to_users = (to_layer * self._first[0]).sum(2) + to_alone @ self._first[1].T
        return torch.bmm(to_before, known.layer.transpose(1, 2)), to_users

    def gradients(self) -> list[Tensor]:
        """Return them in the order of users, items and weights."""
        layer, bias, output, *biases = self._to_generating.together()
        first = self._to_first.view_as(self._weights[0])
        weights = [first, self._to_second, layer, bias, output, *self._to_biases, *biases]
        return [self._to_users, self._to_items, *weights]


def _whole_steps(n: int) -> int:
    """Round up, so that the products have few shapes: each needs a plan of its own."""
    return -(-n // ROWS) * ROWS


def _rows(x: Float[Tensor, "A m *_"], places: Int64[Tensor, "k"]) -> Tensor:
    """Some entries under some sources; several times faster than indexing."""
    return x.flatten(0, 1).index_select(0, places)


def _passed(gradient: Tensor, before: Tensor) -> Tensor:
    """Through the leaky ReLU of something."""
    out: Tensor = torch.ops.aten.leaky_relu_backward(gradient, before, SLOPE, False)
    return out
