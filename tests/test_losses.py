"""The losses equal their definitions, summed pair by pair."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cigf.losses import bpr, softmax_of_lists, whole_data_square


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


def test_softmax_of_lists_is_the_cross_entropy_of_each_user():
    positives = torch.tensor([1.0, -2.0, 0.5])
    sampled = torch.tensor([[0.0, -torch.inf], [3.0, 1.0], [-torch.inf, -torch.inf]])
    listed, owners = torch.tensor([2.0, 90.0, -1.0]), torch.tensor([0, 1, 0])
    lists = ([1.0, 0.0, 2.0, -1.0], [-2.0, 3.0, 1.0, 90.0], [0.5])
    expected = np.mean([np.logaddexp.reduce(each) - each[0] for each in lists])
    found = softmax_of_lists(positives, sampled, listed, owners)
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_softmax_of_lists_without_users_is_0():
    nothing = torch.zeros(0, requires_grad=True)
    nobody = torch.zeros(0, dtype=torch.int64)
    assert softmax_of_lists(nothing, torch.zeros(0, 3), nothing, nobody).item() == 0.0
