"""The losses equal their definitions, summed pair by pair."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cigf.losses import bpr, log_sums, sampled_softmax, whole_data_square


def brute_force(users, items, relation, positive, negative_weight):
    """The sum over every single pair, in float64."""
    total = 0.0
    for u, x in enumerate(users):
        for i, z in enumerate(items):
            score = sum(a * b * r for a, b, r in zip(x, z, relation, strict=True))
            total += (1 - score) ** 2 if positive[u, i] else negative_weight * score**2
    return total


@given(
    seed=st.integers(0, 10_000),
    density=st.sampled_from([0.0, 0.3, 1.0]),
    negative_weight=st.sampled_from([0.0, 0.01, 0.3, 1.0, 2.0]),
)
def test_whole_data_square_is_the_sum_over_all_pairs(seed, density, negative_weight):
    generator = np.random.default_rng(seed)
    users, items, relation = (generator.normal(size=shape) for shape in ((5, 3), (13, 3), 3))
    positive = generator.random((5, 13)) < density
    rows, columns = (torch.from_numpy(axis) for axis in np.nonzero(positive))
    factors = (torch.from_numpy(each) for each in (users, items, relation))
    found = whole_data_square(*factors, rows, columns, negative_weight)
    expected = brute_force(users, items, relation, positive, negative_weight)
    assert found.item() == pytest.approx(expected, rel=1e-10)


def test_whole_data_square_by_hand():
    # One user 2, relation 0.5, items 1, 2, 3: scores 1, 2, 3. Positive is the second:
    # (1 - 2)^2 + 0.1 * (1 + 9) = 2.
    one = torch.tensor([1])
    found = whole_data_square(
        torch.tensor([[2.0]]),
        torch.tensor([[1.0], [2.0], [3.0]]),
        torch.tensor([0.5]),
        torch.tensor([0]),
        one,
        0.1,
    )
    assert found.item() == pytest.approx(2.0)


def test_gradient_of_the_whole_data_square_is_that_of_the_sum_over_all_pairs():
    generator = torch.Generator().manual_seed(0)
    factors = [
        torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in ((5, 3), (13, 3), (3,))
    ]
    positive = torch.rand(5, 13, generator=generator) < 0.3
    rows, columns = positive.nonzero(as_tuple=True)
    users, items, relation = factors
    scores = (users * relation) @ items.T
    dense = torch.where(positive, (1 - scores).square(), 0.2 * scores.square()).sum()
    expected = torch.autograd.grad(dense, factors)
    found = torch.autograd.grad(whole_data_square(*factors, rows, columns, 0.2), factors)
    torch.testing.assert_close(found, expected)


def test_bpr_by_hand_and_where_it_would_overflow():
    positive, negative = torch.tensor([2.0, -300.0]), torch.tensor([1.0, 300.0])
    expected = (np.log1p(np.exp(-1.0)) + 600.0) / 2
    assert bpr(positive, negative).item() == pytest.approx(expected)
    assert bpr(torch.empty(0), torch.empty(0)).item() == 0.0


def test_sampled_softmax_is_the_cross_entropy_of_each_positive():
    positives = torch.tensor([1.0, -2.0, 0.5], requires_grad=True)
    sampled = torch.tensor([[0.0, -torch.inf], [90.0, 1.0], [-torch.inf, -torch.inf]])
    lists = ([1.0, 0.0], [-2.0, 90.0, 1.0], [0.5])
    expected = np.mean([np.logaddexp.reduce(each) - each[0] for each in lists])
    found = sampled_softmax(positives, sampled)
    assert found.item() == pytest.approx(expected, rel=1e-6)
    found.backward()
    share = 1 / (1 + np.e)
    np.testing.assert_allclose(positives.grad, [-share / 3, -1 / 3, 0.0], atol=1e-6)
    assert sampled_softmax(torch.zeros(0), torch.zeros(0, 3)).item() == 0.0


def test_log_sums_are_those_of_each_owner():
    values = torch.tensor([1.0, 2.0, 900.0, 898.0, -torch.inf], requires_grad=True)
    found = log_sums(values, torch.tensor([1, 1, 3, 3, 0]), 4)
    expected = [-np.inf, np.logaddexp(1.0, 2.0), -np.inf, 900 + np.log(1 + np.exp(-2.0))]
    np.testing.assert_allclose(found.detach(), expected, rtol=1e-6)
    found[[1, 3]].sum().backward()
    share = 1 / (1 + np.e)
    high = 1 / (1 + np.exp(-2.0))
    np.testing.assert_allclose(values.grad, [share, 1 - share, high, 1 - high, 0.0], rtol=1e-5)
