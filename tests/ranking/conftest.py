import pytest
import torch

from cigf.ranking import Scorer


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
