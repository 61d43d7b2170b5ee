from dataclasses import replace

import numpy as np
import pytest
import torch

from cigf.ranking import Corrections, ScoreFactors

N_USERS, N_ITEMS, E, D = 7, 11, 3, 5


def random_factors(seed=0, gates=1.0, **options):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    gated = {"user_gates": gates * draw(N_USERS, E), "item_gates": gates * draw(N_ITEMS, E)}
    return ScoreFactors(draw(N_USERS, E, D), draw(N_ITEMS, E, D), **(gated | options))


def corrections():
    # User 1 has items 2 and 10, user 4 has item 0.
    indptr = torch.tensor([0, 0, 2, 2, 2, 3, 3, 3])
    values = torch.tensor([100.0, -7.0, 0.5])
    return Corrections(indptr, torch.tensor([2, 10, 0], dtype=torch.int32), values)


def one_by_one(factors):
    """The first form of the equation, pair by pair, in float64 and without torch."""

    def as_numpy(x):
        return None if x is None else x.double().numpy()

    x, y = as_numpy(factors.users), as_numpy(factors.items)
    p, q = as_numpy(factors.user_gates), as_numpy(factors.item_gates)
    scores = np.zeros((len(x), len(y)))
    for u in range(len(x)):
        for i in range(len(y)):
            weights = np.ones(x.shape[1])
            if p is not None or q is not None:
                logits = (0 if p is None else p[u]) + (0 if q is None else q[i])
                weights = np.exp(logits - logits.max())
                weights /= weights.sum()
            products = [float(x[u, e] @ y[i, e]) for e in range(x.shape[1])]
            scores[u, i] = factors.scale * float(weights @ products)
            if factors.item_bias is not None:
                scores[u, i] += float(factors.item_bias[i])
    return scores


def scores_of(factors):
    return factors.block(torch.arange(factors.n_users)).double().numpy()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": 300.0},
        {"item_gates": None},
        {"user_gates": None},
        {"user_gates": None, "item_gates": None, "scale": 0.5},
        {"item_bias": torch.arange(float(N_ITEMS))},
    ],
)
def test_block_and_pairs_equal_the_first_form(options):
    factors = random_factors(**options)
    expected = one_by_one(factors)
    tolerance = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(scores_of(factors), expected, atol=tolerance)
    users, items = (torch.as_tensor(x.ravel()) for x in np.indices((N_USERS, N_ITEMS)))
    pairs = factors.pairs(users, items).reshape(N_USERS, N_ITEMS)
    np.testing.assert_allclose(pairs, expected, atol=tolerance)


@pytest.mark.parametrize("size", [30.0, 70.0, 200.0])
def test_opposed_gates_do_not_underflow(size):
    # Each user's favorite expert is one that an item all but excludes, and the other way round.
    factors = random_factors()
    user_gates = size * torch.nn.functional.one_hot(torch.arange(N_USERS) % E, E)
    item_gates = size * torch.nn.functional.one_hot(torch.arange(N_ITEMS) % E, E)
    factors = replace(factors, user_gates=user_gates.float(), item_gates=item_gates.float())
    np.testing.assert_allclose(scores_of(factors), one_by_one(factors), rtol=1e-4, atol=1e-5)


def test_gates_over_the_whole_range_of_opposition():
    logits = torch.tensor([0.0, 200.0])
    steps = torch.arange(-220.0, 221.0, 1.5)
    factors = ScoreFactors(
        torch.tensor([[[1.0], [3.0]]]),
        torch.ones(len(steps), 2, 1),
        logits[None, :],
        torch.stack([-steps, torch.zeros_like(steps)], dim=1),
    )
    np.testing.assert_allclose(scores_of(factors), one_by_one(factors), rtol=1e-5)


def test_a_user_with_nan_gates_does_not_spoil_the_others():
    factors = random_factors(gates=100.0)
    expected = one_by_one(factors)
    factors.user_gates[2, 0] = torch.nan
    scores = scores_of(factors)
    assert np.isnan(scores[2]).all()
    others = np.arange(N_USERS) != 2
    np.testing.assert_allclose(scores[others], expected[others], rtol=1e-4, atol=1e-4)


def test_an_item_with_nan_gates_does_not_spoil_the_others():
    factors = random_factors(gates=100.0)
    expected = one_by_one(factors)
    factors.item_gates[2, 0] = torch.nan
    scores = scores_of(factors)
    assert np.isnan(scores[:, 2]).all()
    others = np.arange(N_ITEMS) != 2
    np.testing.assert_allclose(scores[:, others], expected[:, others], rtol=1e-4, atol=1e-4)


def test_corrections_are_added_to_their_pairs_only():
    plain, corrected = random_factors(), random_factors(corrections=corrections())
    added = torch.zeros(N_USERS, N_ITEMS)
    added[1, 2], added[1, 10], added[4, 0] = 100.0, -7.0, 0.5
    users = torch.tensor([4, 1, 0])
    torch.testing.assert_close(corrected.block(users), plain.block(users) + added[users])
    pair_users, pair_items = torch.tensor([1, 4, 1, 6, 1]), torch.tensor([10, 0, 3, 2, 2])
    torch.testing.assert_close(
        corrected.pairs(pair_users, pair_items) - plain.pairs(pair_users, pair_items),
        added[pair_users, pair_items],
        atol=1e-5,
        rtol=0,
    )


def test_blocks_share_their_memory_and_cover_all_users():
    factors = random_factors()
    users = torch.tensor([6, 0, 3, 3, 5])
    whole = factors.block(users)
    parts, places = [], set()
    for scores in factors.blocks(users, 2):
        parts.append(scores.clone())
        places.add(scores.data_ptr())
    assert [len(part) for part in parts] == [2, 2, 1]
    assert len(places) == 1
    torch.testing.assert_close(torch.cat(parts), whole)


def test_no_users_give_an_empty_block():
    empty = torch.empty(0, dtype=torch.int64)
    assert random_factors().block(empty).shape == (0, N_ITEMS)
    assert random_factors().pairs(empty, empty).shape == (0,)


def test_factors_that_learn_can_be_ranked():
    factors = random_factors()
    factors.users.requires_grad_()
    assert not factors.block(torch.arange(N_USERS)).requires_grad


def test_sizes_and_device():
    factors = random_factors()
    assert (factors.n_users, factors.n_items) == (N_USERS, N_ITEMS)
    assert factors.device == torch.device("cpu")
