"""Scores by generated layers equal those of layers that are written out, and so do gradients."""

import pytest
import torch
from torch.nn.functional import leaky_relu

from cigf.nn import meta_head
from cigf.nn.meta_head import SLOPE, MetaHead

U, A, N, D = 5, 2, 23, 3


def head():
    made = MetaHead(D, 7.0, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for bias in made.biases:  # they begin at 0, which would hide an error
            bias += torch.randn(bias.shape, generator=generator)
    return made


def inputs():
    generator = torch.Generator().manual_seed(2)
    sizes = ((U, A, D), (N, A, D), (N, A, D), (N, D))
    parts = [torch.randn(size, generator=generator).requires_grad_() for size in sizes]
    rows = torch.randint(U - 1, (N,), generator=generator)  # the last user has no pairs
    return (*parts, rows)


def written_out(head, users, items, described, target, rows):
    """One layer per pair and source, as the program makes them."""
    u, targets = users[rows], target[:, None].expand_as(described)
    pairs = torch.cat([u * items, u, items], 2)
    meta = torch.cat([described * targets, described, targets], 2)
    meta = leaky_relu(meta @ head.weights[1] + head.biases[1], SLOPE)
    made = [meta @ head.weights[n] + head.biases[n] for n in (2, 3, 4)]
    layer = made[0].view(N, A, 3 * D, D)
    hidden = torch.einsum("naj,najd->nad", pairs, layer) + made[1]
    return head.scale * (leaky_relu(hidden, SLOPE) * made[2]).sum(2)


@pytest.mark.parametrize("at_once", [2, 16])
@pytest.mark.parametrize("kept", [0.0, 0.3, 1.0])
def test_scores_and_gradients_are_those_of_layers_written_out(at_once, kept, monkeypatch):
    monkeypatch.setattr(meta_head, "LISTS_AT_ONCE", at_once)
    model, given = head(), inputs()
    found, expected = model.of_sources(*given), written_out(model, *given)
    torch.testing.assert_close(found, expected)
    chosen = torch.rand(N, A, generator=torch.Generator().manual_seed(3)) < kept
    leaves = [*given[:4], *model.weights, *model.biases]
    gradients = [
        torch.autograd.grad(scores, leaves, chosen * torch.ones(N, A), allow_unused=True)
        for scores in (found, expected)
    ]
    for one, other in zip(*gradients, strict=True):
        zeros = torch.zeros(()) if other is None else other
        torch.testing.assert_close(zeros if one is None else one, zeros, rtol=1e-4, atol=1e-4)


def test_only_scores_with_a_gradient_are_computed_again(monkeypatch):
    scored = []
    plain = meta_head._scores
    monkeypatch.setattr(
        meta_head, "_scores", lambda *given: scored.append(given[2].shape[:2]) or plain(*given)
    )
    model, given = head(), inputs()
    scores = model.of_sources(*given)
    assert sum(r * m for r, m in scored) >= N * A
    scored.clear()
    scores[4, 1].backward()
    assert scored == [(1, 1)]


def test_users_with_pairs_of_their_own_are_scored_side_by_side():
    model, (users, items, described, target, rows) = head(), inputs()
    every = model.of_sources(users, items, described, target, rows)
    of_one = rows == rows[0]
    alone = model(
        users[rows[:1], 1], items[of_one, 1][None], described[of_one, 1][None], target[of_one][None]
    )
    torch.testing.assert_close(alone[0], every[of_one, 1])
