"""MESI in blocks gives the head's scores of single pairs."""

import pytest
import torch

from cigf.nn.blocks import MESIBlock
from cigf.nn.heads import MESIHead


@pytest.mark.parametrize("task", [0, 1, 2])
def test_a_block_is_all_its_pairs(task):
    generator = torch.Generator().manual_seed(0)
    head = MESIHead(3, 5, 2.0, generator)
    users, items = (torch.randn(n, 3, 5, generator=generator) for n in (7, 11))
    rows, columns = torch.arange(7).repeat_interleave(11), torch.arange(11).repeat(7)
    parts = head.user_parts(users[rows]), head.item_parts(items[columns])
    expected = head.score(*parts, task).view(7, 11)
    torch.testing.assert_close(MESIBlock(head, users, items).scores(task), expected)
