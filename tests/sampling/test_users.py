"""The sampler's draws: what they are, how they are distributed, and that they can be repeated."""

import numpy as np
import pytest
import torch

from cigf.compiled import switched
from cigf.data.dataset import build_matrix
from cigf.sampling import on_device
from cigf.sampling.build import build_sampler
from cigf.sampling.config import SamplingConfig
from cigf.sampling.on_device import DeviceRows, DeviceUserSampler
from cigf.sampling.users import BehaviorSampler, UserSampler
from cigf.testing.toy import random_matrices

U, I = 13, 17  # noqa: E741  # the axis legend's letters


@pytest.fixture(params=[UserSampler, DeviceUserSampler])
def sampler(request):
    """Builds either sampler; the device of the second is the CPU here."""

    def built(seed=0, learns="behaviors", **options):
        matrices = random_matrices(n_users=U, n_items=I)
        defaults = {"users_per_epoch": U, "batch_size": 5, "positives_per_user": 3}
        config = SamplingConfig(**{**defaults, **options})
        return matrices, request.param(matrices, config, seed, "cpu", learns)

    return built


def same(one, two):
    return torch.equal(one.users, two.users) and all(
        torch.equal(getattr(p, name), getattr(q, name))
        for p, q in zip(one.pairs, two.pairs, strict=True)
        for name in ("rows", "positives", "negatives")
    )


def test_positives_are_in_the_row_and_negatives_are_not(sampler):
    matrices, source = sampler()
    for epoch in range(20):
        for batch in source.epoch(epoch):
            for matrix, pairs in zip(matrices, batch.pairs, strict=True):
                dense = matrix.toarray()
                users = batch.users[pairs.rows]
                assert (dense[users, pairs.positives] == 1).all()
                assert (dense[users, pairs.negatives] == 0).all()


def test_every_user_gives_as_many_pairs_as_she_can(sampler):
    matrices, source = sampler()
    for batch in source.epoch(0):
        for matrix, pairs in zip(matrices, batch.pairs, strict=True):
            degrees = np.diff(matrix.indptr)[batch.users]
            counts = np.bincount(pairs.rows, minlength=len(batch.users))
            assert (counts == np.minimum(degrees, 3)).all()
            assert (pairs.rows.diff() >= 0).all()


def test_an_epoch_visits_each_active_user_once(sampler):
    matrices, source = sampler()
    active = np.flatnonzero(sum(np.diff(m.indptr) for m in matrices))
    users = torch.cat([batch.users for batch in source.epoch(0)])
    assert sorted(users.tolist()) == active.tolist()
    assert source.n_steps == -(-len(active) // 5)
    assert 0 not in users  # user 0 has no edges


def test_fewer_users_per_epoch_are_a_random_subset(sampler):
    _, source = sampler(users_per_epoch=6)
    epochs = [torch.cat([b.users for b in source.epoch(e)]).tolist() for e in range(5)]
    assert all(len(set(users)) == len(users) == 6 for users in epochs)
    assert len({tuple(users) for users in epochs}) == 5


def drawn_by_numpy(matrix, users, most):
    rows, *items = BehaviorSampler(matrix).draw(users, most, np.random.default_rng(0))
    return users[rows], *items


def drawn_on_device(matrix, users, most):
    users = torch.from_numpy(users).repeat_interleave(most)
    known, generator = DeviceRows(matrix, "cpu"), torch.Generator().manual_seed(0)
    parts = users, known.positives(users, generator), known.negatives(users, generator)
    return tuple(part.numpy() for part in parts)


@pytest.mark.parametrize("draw", [drawn_by_numpy, drawn_on_device])
def test_draws_are_uniform(draw):
    dense = np.zeros((2, 6), bool)
    dense[0, [0, 1]] = True
    dense[1, [1, 3, 5]] = True
    matrix = build_matrix(*np.nonzero(dense), dense.shape)
    users, positives, negatives = draw(matrix, np.repeat([0, 1], 20_000), 2)
    for user in (0, 1):
        for drawn, items in ((positives, dense[user]), (negatives, ~dense[user])):
            mine = drawn[users == user]
            counts = np.bincount(mine, minlength=6)[np.flatnonzero(items)]
            expected = len(mine) / items.sum()
            # Five standard deviations of a binomial count.
            assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)
            assert counts.sum() == len(mine)


@pytest.mark.parametrize("draw", [drawn_by_numpy, drawn_on_device])
def test_of_a_large_catalog_all_items_can_be_drawn(draw):
    n_items = 3_000_000
    matrix = build_matrix(np.array([0, 0]), np.array([0, n_items - 1]), (1, n_items))
    _, _, negatives = draw(matrix, np.zeros(200_000, np.int64), 1)
    assert negatives.min() > 0
    assert negatives.max() < n_items - 1
    assert len(np.unique(negatives % 2)) == 2
    # As many different ones as 200,000 draws of 3 million have: 193,500, give or take 80.
    assert abs(len(np.unique(negatives)) - 193_500) < 1000


def test_all_of_a_users_pairs_once_with_several_negatives(sampler):
    matrices, source = sampler(positives_per_user=0, negatives_per_positive=3)
    batches = list(source.epoch(0))
    for behavior, matrix in enumerate(matrices):
        found = []
        for batch in batches:
            pairs = batch.pairs[behavior]
            assert batch.negatives_per_positive == 3
            dense, users = matrix.toarray(), batch.users[pairs.rows]
            assert (dense[users, pairs.negatives] == 0).all()
            positives = pairs.positives.view(-1, 3)
            assert (positives == positives[:, :1]).all()
            found += zip(users[::3].tolist(), positives[:, 0].tolist(), strict=True)
        assert sorted(found) == sorted(zip(*(x.tolist() for x in matrix.nonzero()), strict=True))


def test_no_negatives_where_none_are_wanted(sampler):
    for batch in sampler(negatives_per_positive=0)[1].epoch(0):
        assert all(len(each.negatives) == 0 < len(each.positives) for each in batch.pairs)


def test_the_same_step_is_drawn_again_and_other_steps_differ(sampler):
    _, source = sampler()
    whole, again = list(source.epoch(3)), list(source.epoch(3))
    assert all(map(same, whole, again))
    assert all(map(same, whole[1:], source.epoch(3, first_step=1)))
    assert not same(whole[0], next(source.epoch(4)))
    assert not same(whole[0], next(sampler(seed=1)[1].epoch(3)))


@pytest.mark.parametrize("kind", [UserSampler, DeviceUserSampler])
def test_a_user_with_all_items_but_one_gets_that_one(kind):
    dense = np.ones((2, 101), bool)
    dense[0, 57] = False
    matrix = build_matrix(*np.nonzero(dense), dense.shape)
    (batch,) = kind([matrix], SamplingConfig(), 0, "cpu").epoch(0)
    (pairs,) = batch.pairs
    assert (pairs.negatives == 57).all()
    assert (batch.users[pairs.rows] == 0).all()  # the other user has no negatives: she is left out
    assert len(pairs.rows) == 40


@pytest.mark.parametrize("kind", [UserSampler, DeviceUserSampler])
def test_a_behavior_without_events_gives_no_pairs(kind):
    empty = build_matrix(np.empty(0, np.int64), np.empty(0, np.int64), (U, I))
    matrices = (empty, random_matrices(n_users=U, n_items=I)[0])
    batch = next(kind(matrices, SamplingConfig(), 0, "cpu").epoch(0))
    assert len(batch.pairs[0].rows) == 0
    assert batch.n_pairs == len(batch.pairs[1].rows) > 0


def test_the_device_draws_for_the_target_alone_too(sampler):
    for batch in sampler(learns="target")[1].epoch(0):
        assert [len(each.rows) > 0 for each in batch.pairs] == [False, False, True]


@pytest.mark.parametrize(
    ("device", "learns", "options", "there"),
    [
        ("cuda", "behaviors", {}, True),
        ("cuda", "target", {}, True),
        ("cuda", "union", {}, False),  # labels are looked up by NumPy
        ("cuda", "behaviors", {"unit": "interactions"}, False),
        ("cuda", "behaviors", {"subgraph": "budget"}, False),
        ("cpu", "behaviors", {}, False),
    ],
)
def test_a_gpu_draws_by_itself_where_it_can(device, learns, options, there, monkeypatch):
    monkeypatch.setattr(on_device, "DeviceRows", lambda matrix, device: None)  # none is here
    matrices, config = random_matrices(n_users=U, n_items=I), SamplingConfig(**options)
    made = build_sampler(matrices, config, 0, device, learns)
    assert isinstance(made, DeviceUserSampler) == there
    on_host = build_sampler(matrices, config, 0, device, learns, on_device=False)
    assert not isinstance(on_host, DeviceUserSampler)


@pytest.mark.parametrize("option", ["users_per_epoch", "batch_size"])
def test_sizes_must_be_positive(option):
    with pytest.raises(ValueError, match="greater than 0"):
        SamplingConfig(**{option: 0})


def test_compiled_kernels_draw_what_numpy_draws():
    found = []
    for on in (True, False):
        with switched(on=on):
            source = UserSampler(
                random_matrices(n_users=U, n_items=I), SamplingConfig(batch_size=5), 5
            )
            found.append(list(source.epoch(1)))
    assert len(found[0]) == 3
    assert all(map(same, *found))
