"""Dropped values are 0, the others keep the expectation, and a rate of 0 draws nothing."""

import pytest
import torch

from cigf.nn.dropout import drop_values


@pytest.mark.parametrize("rate", [0.2, 0.7])
def test_values_are_dropped_at_the_rate_and_raised(rate):
    torch.manual_seed(0)
    found = drop_values(torch.full((100, 100), 3.0), rate)
    kept = found != 0
    assert abs(kept.float().mean().item() - (1 - rate)) < 0.02
    torch.testing.assert_close(found[kept], torch.full_like(found[kept], 3.0 / (1 - rate)))


def test_a_rate_of_0_draws_nothing():
    x, before = torch.ones(3), torch.get_rng_state()
    assert drop_values(x, 0.0) is x
    assert torch.equal(torch.get_rng_state(), before)
