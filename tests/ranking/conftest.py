import pytest
import torch

from cigf.ranking import Scorer, factors, topk


class TableScorer(Scorer):
    """Scores that were written down, NaN and infinities included."""

    def __init__(self, table):
        self.table = torch.as_tensor(table, dtype=torch.float32)

    @property
    def n_users(self):
        return len(self.table)

    @property
    def n_items(self):
        return self.table.shape[1]

    def block(self, users):
        return self.table[users]

    def pairs(self, users, items):
        return self.table[users, items]


@pytest.fixture(scope="session")
def table_scorer():
    return TableScorer


@pytest.fixture(params=[False, True], ids=["whole", "stretches"], autouse=True)
def stretches(request, monkeypatch):
    """Catalogs are also worked on in stretches of a few items, as large ones are."""
    if request.param:
        monkeypatch.setitem(factors.SCORES_AT_ONCE, "cpu", 1)
        monkeypatch.setattr(factors, "FEWEST_ITEMS", 3)
        monkeypatch.setattr(topk, "_STRETCH", 2)
        monkeypatch.setattr(topk, "_LEAST_SAVED", 2)
