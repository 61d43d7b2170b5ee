"""Scores in chunks are the scores of all pairs at once."""

import pytest
import torch

import cigf.ranking.parts
from cigf.ranking import PartsScorer

U, I, F = 5, 13, 3  # noqa: E741  # the axis legend's letters


def build():
    generator = torch.Generator().manual_seed(0)
    users, items = (torch.randn(n, F, generator=generator) for n in (U, I))
    scorer = PartsScorer(users, items, lambda x, y: (x + y).relu().sum(-1), F)
    return scorer, (users[:, None] + items).relu().sum(-1)


@pytest.mark.parametrize("values", [1, 7 * F, 2 * I * F, 1 << 20])
def test_chunks_of_any_size_give_the_same(values, monkeypatch):
    monkeypatch.setattr(cigf.ranking.parts, "VALUES_PER_CHUNK", values)
    scorer, expected = build()
    users = torch.tensor([4, 0, 0])
    torch.testing.assert_close(scorer.block(users), expected[users])
    rows = torch.arange(U).repeat_interleave(I)
    columns = torch.arange(I).repeat(U)
    torch.testing.assert_close(scorer.pairs(rows, columns), expected.flatten())


def test_a_chunk_takes_no_more_memory_than_its_bound(monkeypatch):
    monkeypatch.setattr(cigf.ranking.parts, "VALUES_PER_CHUNK", 4 * F)
    seen = []

    def combine(x, y):
        seen.append((x + y).numel())
        return (x + y).sum(-1)

    scorer = PartsScorer(torch.zeros(U, F), torch.zeros(I, F), combine, F)
    scorer.block(torch.tensor([0, 1]))
    scorer.pairs(torch.zeros(9, dtype=torch.int64), torch.zeros(9, dtype=torch.int64))
    assert max(seen) <= 4 * F


def test_nothing_asked_for_is_nothing_given():
    scorer, _ = build()
    nothing = torch.empty(0, dtype=torch.int64)
    assert scorer.pairs(nothing, nothing).shape == (0,)
    assert scorer.block(nothing).shape == (0, I)
