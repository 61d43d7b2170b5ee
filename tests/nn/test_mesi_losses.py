"""MESI's losses in one piece equal the head's scores under BPR, forward and backward."""

from dataclasses import replace

import pytest
import torch

from cigf import compiled
from cigf.losses import bpr
from cigf.nn.heads import MESIHead
from cigf.shapes import Pairs

U, I, B, D = 7, 11, 3, 5  # noqa: E741  # the axis legend's letters


def setup(sizes, scale=3.0):
    generator = torch.Generator().manual_seed(0)
    head = MESIHead(B, D, scale, generator)
    with torch.no_grad():
        head.gate_bias.normal_(generator=generator)
    x = torch.randn(U, B, D, generator=generator, requires_grad=True)
    y = torch.randn(I, B, D, generator=generator, requires_grad=True)
    pairs = []
    for n in sizes:
        rows = torch.randint(U, (n,), generator=generator).sort().values
        pairs.append(Pairs(rows, *torch.randint(I, (2, n), generator=generator)))
    return head, x, y, pairs


def slowly(head, x, y, pairs):
    """Pair by pair through `MESIHead.score`."""
    users, items = head.user_parts(x), head.item_parts(y)

    def score(rows, chosen, task):
        parts = tuple(p[rows] for p in users), tuple(p[chosen] for p in items)
        return head.score(*parts, task)

    return torch.stack(
        [
            bpr(score(p.rows, p.positives, task), score(p.rows, p.negatives, task))
            for task, p in enumerate(pairs)
        ]
    )


@pytest.mark.parametrize("sizes", [[13, 5, 3], [4, 0, 9], [0, 0, 1], [0, 0, 0]], ids=str)
@pytest.mark.parametrize("scale", [3.0, 300.0])
def test_equals_the_scores_under_bpr(sizes, scale):
    head, x, y, pairs = setup(sizes, scale)
    found = head.bpr_losses(x, y, pairs)
    expected = slowly(head, x, y, pairs)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    upstream = torch.tensor([2.0, -0.5, 0.3])
    inputs = (x, y, head.gate, head.gate_bias)
    mine = torch.autograd.grad(found, inputs, upstream)
    theirs = torch.autograd.grad(expected, inputs, upstream)
    for gradient, wanted in zip(mine, theirs, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-4)


def test_several_threads_give_the_same_bits(monkeypatch):
    head, x, y, pairs = setup([900, 700, 500])
    found = []
    monkeypatch.setattr(compiled, "_LEAST_WORK", 10)
    for threads in (1, 3):
        monkeypatch.setattr(compiled._state, "threads", threads)
        losses = head.bpr_losses(x, y, pairs)
        found.append((losses, *torch.autograd.grad(losses.sum(), (x, y, head.gate))))
    assert all(map(torch.equal, *found))


def test_other_numbers_than_float32_take_the_other_way():
    head, x, y, pairs = setup([3, 3, 3])
    head = head.double()
    assert head.bpr_losses(x.double(), y.double(), pairs) is None


@pytest.mark.parametrize("short", ["rows", "positives", "negatives"])
def test_pairs_that_lack_a_part_are_refused(short):
    head, x, y, pairs = setup([4, 6, 2])
    lacking = replace(pairs[1], **{short: getattr(pairs[1], short)[:0]})
    with pytest.raises(ValueError, match=f"task 1 has .*0 {short}".replace("rows", "users")):
        head.bpr_losses(x, y, [pairs[0], lacking, pairs[2]])
