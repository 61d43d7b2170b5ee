"""The attention between messages: its special cases, and both ways to its sum."""

import pytest
import torch

from cigf.compiled import installed, switched
from cigf.nn.message_attention import attend, attended_sum


@pytest.mark.parametrize("n_messages", [1, 3])
def test_equal_messages_are_doubled(n_messages):
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(7, 1, 6, generator=generator).expand(-1, n_messages, -1)
    found = attend(v, torch.randn(6, 6, generator=generator), 2)
    torch.testing.assert_close(found, 2 * v)


@pytest.mark.skipif(not installed(), reason="needs numba")
@pytest.mark.parametrize("n_heads", [1, 2])
def test_kernels_add_up_what_every_message_attends_to(n_heads):
    generator = torch.Generator().manual_seed(0)
    messages = torch.randn(7, 3, 10, generator=generator).requires_grad_()
    weight = torch.randn(10, 10, generator=generator).requires_grad_()
    wanted = torch.randn(7, 10, generator=generator)
    expected = attend(messages, weight, n_heads).sum(1)
    for on in (True, False):
        with switched(on=on):
            found = attended_sum(messages, weight, n_heads)
            torch.testing.assert_close(found, expected)
            got = torch.autograd.grad(found, [messages, weight], wanted)
        by_hand = torch.autograd.grad(expected, [messages, weight], wanted, retain_graph=True)
        for one, other in zip(got, by_hand, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
