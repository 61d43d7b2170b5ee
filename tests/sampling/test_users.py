"""The sampler's draws: what they are, how they are distributed, and that they can be repeated."""

import numpy as np
import pytest
import torch

from cigf.compiled import switched
from cigf.data.dataset import build_matrix
from cigf.sampling.config import SamplingConfig
from cigf.sampling.users import BehaviorSampler, UserSampler
from cigf.testing.toy import random_matrices

U, I = 13, 17  # noqa: E741  # the axis legend's letters


def sampler(seed=0, **options):
    matrices = random_matrices(n_users=U, n_items=I)
    defaults = {"users_per_epoch": U, "batch_size": 5, "positives_per_user": 3}
    return matrices, UserSampler(matrices, SamplingConfig(**{**defaults, **options}), seed)


def same(one, two):
    return torch.equal(one.users, two.users) and all(
        torch.equal(getattr(p, name), getattr(q, name))
        for p, q in zip(one.pairs, two.pairs, strict=True)
        for name in ("rows", "positives", "negatives")
    )


def test_positives_are_in_the_row_and_negatives_are_not():
    matrices, source = sampler()
    for epoch in range(20):
        for batch in source.epoch(epoch):
            for matrix, pairs in zip(matrices, batch.pairs, strict=True):
                dense = matrix.toarray()
                users = batch.users[pairs.rows]
                assert (dense[users, pairs.positives] == 1).all()
                assert (dense[users, pairs.negatives] == 0).all()


def test_every_user_gives_as_many_pairs_as_she_can():
    matrices, source = sampler()
    for batch in source.epoch(0):
        for matrix, pairs in zip(matrices, batch.pairs, strict=True):
            degrees = np.diff(matrix.indptr)[batch.users]
            counts = np.bincount(pairs.rows, minlength=len(batch.users))
            assert (counts == np.minimum(degrees, 3)).all()
            assert (pairs.rows.diff() >= 0).all()


def test_an_epoch_visits_each_active_user_once():
    matrices, source = sampler()
    active = np.flatnonzero(sum(np.diff(m.indptr) for m in matrices))
    users = torch.cat([batch.users for batch in source.epoch(0)])
    assert sorted(users.tolist()) == active.tolist()
    assert source.n_steps == -(-len(active) // 5)
    assert 0 not in users  # user 0 has no edges


def test_fewer_users_per_epoch_are_a_random_subset():
    _, source = sampler(users_per_epoch=6)
    epochs = [torch.cat([b.users for b in source.epoch(e)]).tolist() for e in range(5)]
    assert all(len(set(users)) == len(users) == 6 for users in epochs)
    assert len({tuple(users) for users in epochs}) == 5


def test_draws_are_uniform():
    dense = np.zeros((1, 6), bool)
    dense[0, [0, 1]] = True
    matrix = build_matrix(*np.nonzero(dense), dense.shape)
    generator = np.random.default_rng(0)
    _, positives, negatives = BehaviorSampler(matrix).draw(np.zeros(20_000, np.int64), 2, generator)
    for drawn, items in ((positives, [0, 1]), (negatives, [2, 3, 4, 5])):
        counts = np.bincount(drawn, minlength=6)[items]
        expected = len(drawn) / len(items)
        # Five standard deviations of a binomial count.
        assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)
        assert counts.sum() == len(drawn)


def test_the_same_step_is_drawn_again_and_other_steps_differ():
    _, source = sampler()
    whole, again = list(source.epoch(3)), list(source.epoch(3))
    assert all(map(same, whole, again))
    assert all(map(same, whole[1:], source.epoch(3, first_step=1)))
    assert not same(whole[0], next(source.epoch(4)))
    assert not same(whole[0], next(sampler(seed=1)[1].epoch(3)))


def test_a_user_with_all_items_but_one_gets_that_one():
    dense = np.ones((2, 101), bool)
    dense[0, 57] = False
    matrix = build_matrix(*np.nonzero(dense), dense.shape)
    rows, _, negatives = BehaviorSampler(matrix).draw(
        np.array([0, 1]), 40, np.random.default_rng(0)
    )
    assert (negatives == 57).all()
    assert (rows == 0).all()  # the other user has no negatives, so she is left out
    assert len(rows) == 40


def test_a_behavior_without_events_gives_no_pairs():
    empty = build_matrix(np.empty(0, np.int64), np.empty(0, np.int64), (U, I))
    matrices = (empty, random_matrices(n_users=U, n_items=I)[0])
    batch = next(UserSampler(matrices, SamplingConfig(), 0).epoch(0))
    assert len(batch.pairs[0].rows) == 0
    assert batch.n_pairs == len(batch.pairs[1].rows) > 0


@pytest.mark.parametrize("option", ["users_per_epoch", "batch_size"])
def test_sizes_must_be_positive(option):
    with pytest.raises(ValueError, match="greater than 0"):
        SamplingConfig(**{option: 0})


def test_compiled_kernels_draw_what_numpy_draws():
    found = []
    for on in (True, False):
        with switched(on=on):
            found.append(list(sampler(seed=5)[1].epoch(1)))
    assert len(found[0]) == 3
    assert all(map(same, *found))
