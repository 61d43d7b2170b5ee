"""Scores by generated layers equal those of layers that are written out, and so do gradients."""

import pytest
import torch
from torch.nn.functional import leaky_relu

from cigf.compiled import switched
from cigf.nn import meta_losses, meta_scores
from cigf.nn.meta_head import MetaHead
from cigf.nn.meta_losses import Compared
from cigf.nn.meta_scores import SLOPE

U, A, B, N, D = 5, 3, 2, 23, 7
KERNELS = pytest.mark.parametrize("kernels", [True, False])


def head(scale=7.0):
    made = MetaHead(D, scale, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for bias in made.biases:  # they begin at 0, which would hide an error
            bias += torch.randn(bias.shape, generator=generator)
    return made


def inputs():
    generator = torch.Generator().manual_seed(2)
    parts = [torch.randn(n, A, D, generator=generator).requires_grad_() for n in (U, N)]
    rows = torch.randint(U - 1, (N,), generator=generator).sort()[0]  # the last has no pairs
    targets = torch.randint(1, A, (N,), generator=generator)
    return *parts, rows, targets


def described(head, users, items, rows, targets):
    c = head.describe(users[rows], items)
    return c, c[torch.arange(N), targets]


def written_out(head, users, items, rows, targets):
    """One layer per pair and source, as the program makes them."""
    u, (source, target) = users[rows], described(head, users, items, rows, targets)
    target = target[:, None].expand_as(source)
    pairs = torch.cat([u * items, u, items], 2)
    meta = torch.cat([source * target, source, target], 2)
    meta = leaky_relu(meta @ head.weights[1] + head.biases[1], SLOPE)
    made = [meta @ head.weights[n] + head.biases[n] for n in (2, 3, 4)]
    layer = made[0].view(N, A, 3 * D, D)
    hidden = torch.einsum("naj,najd->nad", pairs, layer) + made[1]
    return head.scale * (leaky_relu(hidden, SLOPE) * made[2]).sum(2)


def from_every_source(model, users, items, source, target, rows):
    parts = (each.unbind(1) for each in (users, items, source))
    scores = (model.of_pairs(*each, target, rows) for each in zip(*parts, strict=True))
    return torch.stack(list(scores), 1)


@pytest.mark.parametrize("at_once", [2, 16])
@KERNELS
def test_scores_are_those_of_layers_written_out(kernels, at_once, monkeypatch):
    monkeypatch.setattr(meta_scores, "USERS_AT_ONCE", at_once)
    model, (users, *of_pairs) = head(), inputs()
    order = torch.randperm(N, generator=torch.Generator().manual_seed(3))
    items, rows, targets = (each[order] for each in of_pairs)
    source, target = described(model, users, items, rows, targets)
    with switched(on=kernels):
        found = from_every_source(model, users, items, source, target, rows)
    assert not found.requires_grad
    expected = written_out(model, users, items, rows, targets).detach()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def compared(rows, targets):
    """Two pairs of each user's first entry with her others; the behavior is the target's."""
    borders = torch.searchsorted(rows, torch.arange(U + 1)).tolist()
    places = [n for n in range(N) if n > borders[int(rows[n])] for _ in range(2)]
    negatives = torch.tensor(places)
    positives = torch.tensor([borders[int(rows[n])] for n in places])
    pair_borders = torch.searchsorted(rows[negatives], torch.arange(U + 1)).tolist()
    behaviors = targets[negatives] - 1
    return Compared(targets, borders, positives, negatives, behaviors, pair_borders, B)


def hinges(scores, pairs):
    """Each behavior's mean over its pairs, added up over the sources."""
    margins = 1 - scores[pairs.positives] + scores[pairs.negatives]
    return torch.stack([margins[pairs.behaviors == b].relu().mean(0).sum() for b in range(B)])


@pytest.mark.parametrize("factors", [(1.0, 1.0), (0.5, 0.5), (2.0, -0.3)])
@pytest.mark.parametrize("scale", [0.0, 0.1, 7.0])
@KERNELS
def test_losses_and_gradients_are_those_of_layers_written_out(kernels, scale, factors):
    model, (users, items, rows, targets) = head(scale), inputs()
    pairs = compared(rows, targets)
    expected = hinges(written_out(model, users, items, rows, targets), pairs)
    leaves = [users, items, *model.weights, *model.biases]
    with switched(on=kernels):
        found = model.losses(pairs, users, items)
        torch.testing.assert_close(found, expected)
        weighted = (torch.tensor(factors) * found).sum()
        gradients = torch.autograd.grad(weighted, leaves)
    wanted = torch.autograd.grad((torch.tensor(factors) * expected).sum(), leaves)
    for one, other in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))


def test_only_pairs_out_of_order_are_walked_back(monkeypatch):
    walked = []
    plain = meta_losses.compare

    def watched(*given):
        found = plain(*given)
        walked.append(len(found.places))
        return found

    monkeypatch.setattr(meta_losses, "compare", watched)
    model, (users, items, rows, targets) = head(0.1), inputs()
    pairs = compared(rows, targets)
    scores = written_out(model, users, items, rows, targets)
    model.losses(pairs, users, items).sum().backward()
    by_score = torch.autograd.grad(hinges(scores, pairs).sum(), scores)[0]
    assert sum(walked) == (by_score != 0).sum() < N * A


@KERNELS
def test_what_is_no_number_is_seen_in_the_losses(kernels):
    model, (users, items, rows, targets) = head(), inputs()
    pairs = compared(rows, targets)
    with torch.no_grad(), switched(on=kernels):
        items[0] = torch.nan
        assert model.losses(pairs, users, items).isnan().any()


@pytest.mark.parametrize("steps", [(1.0, 0.0, 0.0), (0.0, 0.0, 0.0), (1.0, 2.0, 3.0)])
def test_rows_beyond_those_with_a_gradient_count_nothing(steps):
    generator = torch.Generator().manual_seed(3)
    made, items = (
        torch.randn(8, D + 2, D, generator=generator),
        torch.randn(4, D, generator=generator),
    )
    extended, pairs = torch.randn(8, 5, generator=generator), torch.tensor([[0, 0, 1], [1, 2, 3]])
    products, losses = [], []
    for kernels in (True, False):
        losses.append(torch.zeros(3))
        given = made.clone(), items, extended, tuple(pairs), torch.tensor(steps), 0.1, losses[-1]
        with switched(on=kernels):
            walked = meta_scores.compare(*given)
        products.append(walked.extended.T @ walked.to_made)
    torch.testing.assert_close(*products)
    torch.testing.assert_close(*losses)


@KERNELS
def test_losses_without_a_gradient(kernels):
    model, (users, items, rows, targets) = head(0.1), inputs()
    pairs = compared(rows, targets)
    with torch.no_grad(), switched(on=kernels):
        found = model.losses(pairs, users, items)
    torch.testing.assert_close(
        found, hinges(written_out(model, users, items, rows, targets), pairs)
    )


def test_users_with_pairs_of_their_own_are_scored_side_by_side():
    model, (users, items, rows, targets) = head(), inputs()
    source, target = described(model, users, items, rows, targets)
    every = from_every_source(model, users, items, source, target, rows)
    of_one = rows == rows[0]
    alone = model(
        users[rows[:1], 1], items[of_one, 1][None], source[of_one, 1][None], target[of_one][None]
    )
    torch.testing.assert_close(alone[0], every[of_one, 1])
