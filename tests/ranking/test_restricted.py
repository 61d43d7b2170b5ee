import torch

from cigf.ranking import ScoreFactors
from cigf.ranking.restricted import FirstItems


def test_the_scores_are_those_of_the_first_items():
    generator = torch.Generator().manual_seed(0)
    whole = ScoreFactors(
        torch.randn(5, 2, 3, generator=generator), torch.randn(7, 2, 3, generator=generator)
    )
    few = FirstItems(whole, 4)
    users, items = torch.tensor([3, 0, 3]), torch.tensor([1, 3, 0])
    assert (few.n_users, few.n_items, few.device) == (5, 4, whole.device)
    block = few.block(users)
    assert torch.equal(block, whole.block(users)[:, :4])
    torch.testing.assert_close(few.pairs(users, items), block[torch.arange(3), items])
    assert torch.equal(torch.cat(list(few.blocks(users, 2))), block)
