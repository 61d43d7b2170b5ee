"""Sampling by interactions, and what the three kinds of labels put into a batch."""

import numpy as np
import pytest
import torch

from cigf.data.dataset import build_matrix, union_of
from cigf.sampling.build import build_sampler
from cigf.sampling.config import SamplingConfig
from cigf.sampling.interactions import InteractionSampler
from cigf.sampling.users import UserSampler
from cigf.testing.toy import random_matrices

U, I = 13, 17  # noqa: E741  # the axis legend's letters
MATRICES = random_matrices(n_users=U, n_items=I)


def sampler(matrices=MATRICES, seed=0, learns="behaviors", **options):
    config = SamplingConfig(**{"unit": "interactions", "batch_size": 5, **options})
    return build_sampler(matrices, config, seed, learns=learns)


def drawn(batches, behavior):
    """Users, positives and negatives of one behavior over several batches."""
    parts = [
        (b.users[p.rows], p.positives, p.negatives) for b in batches for p in [b.pairs[behavior]]
    ]
    return [torch.cat(each).numpy() for each in zip(*parts, strict=True)]


def test_an_epoch_visits_each_interaction_once():
    source = sampler()
    batches = list(source.epoch(0))
    assert len(batches) == source.n_steps == -(-MATRICES[-1].nnz // 5)
    for behavior, matrix in enumerate(MATRICES):
        users, positives, _ = drawn(batches, behavior)
        found = build_matrix(users, positives, matrix.shape)
        assert len(users) == matrix.nnz
        assert (found != matrix).nnz == 0


def test_batches_are_ordered_and_no_larger_than_asked():
    for batch in sampler().epoch(0):
        assert len(batch.pairs[-1].rows) <= 5
        assert (batch.users.diff() > 0).all()
        for pairs in batch.pairs:
            assert (pairs.rows.diff() >= 0).all()


def test_negatives_are_not_in_the_row():
    dense = [matrix.toarray() for matrix in MATRICES]
    for behavior in range(len(MATRICES)):
        users, positives, negatives = drawn(list(sampler().epoch(0)), behavior)
        assert (dense[behavior][users, positives] == 1).all()
        assert (dense[behavior][users, negatives] == 0).all()


def test_the_same_step_is_drawn_again_and_other_epochs_differ():
    def values(batches):
        return [[t.tolist() for p in b.pairs for t in vars(p).values()] for b in batches]

    whole = values(sampler().epoch(3))
    assert values(sampler().epoch(3)) == whole
    assert values(sampler().epoch(3, first_step=2)) == whole[2:]
    assert values(sampler().epoch(4)) != whole
    assert values(sampler(seed=1).epoch(3)) != whole


@pytest.mark.parametrize("unit", ["users", "interactions"])
def test_several_negatives_repeat_the_positive(unit):
    batch = next(sampler(unit=unit, negatives_per_positive=3).epoch(0))
    assert batch.negatives_per_positive == 3
    pairs = batch.pairs[-1]
    positives = pairs.positives.view(-1, 3)
    assert (positives == positives[:, :1]).all()
    assert (pairs.rows.view(-1, 3) == pairs.rows.view(-1, 3)[:, :1]).all()
    assert len(pairs.negatives) == len(pairs.positives)


@pytest.mark.parametrize("unit", ["users", "interactions"])
def test_without_negatives_even_a_user_with_all_items_takes_part(unit):
    dense = np.ones((2, 3), bool)
    dense[1, 0] = False
    matrix = build_matrix(*np.nonzero(dense), dense.shape)
    options = {"unit": unit, "positives_per_user": 0, "batch_size": 100}
    batch = next(sampler([matrix], negatives_per_positive=0, **options).epoch(0))
    pairs = batch.pairs[0]
    assert len(pairs.positives) == matrix.nnz
    assert len(pairs.negatives) == 0
    assert batch.negatives_per_positive == 1
    with_negatives = next(sampler([matrix], **options).epoch(0)).pairs[0]
    assert (with_negatives.negatives == 0).all()
    assert len(with_negatives.positives) == 2


def test_zero_positives_per_user_takes_each_interaction_once():
    source = sampler(unit="users", positives_per_user=0)
    batches = list(source.epoch(0))
    for behavior, matrix in enumerate(MATRICES):
        users, positives, _ = drawn(batches, behavior)
        assert len(users) == matrix.nnz
        assert (build_matrix(users, positives, matrix.shape) != matrix).nnz == 0


@pytest.mark.parametrize("unit", ["users", "interactions"])
def test_a_target_learner_gets_the_targets_pairs_alone(unit):
    batches = list(sampler(unit=unit, learns="target").epoch(0))
    for batch in batches:
        assert [len(p.rows) for p in batch.pairs[:-1]] == [0, 0]
        assert len(batch.pairs[-1].rows) > 0
    buyers = np.flatnonzero(np.diff(MATRICES[-1].indptr))
    users = np.unique(np.concatenate([batch.users.numpy() for batch in batches]))
    assert users.tolist() == buyers.tolist()


@pytest.mark.parametrize("unit", ["users", "interactions"])
def test_a_union_learner_gets_each_pair_with_all_its_labels(unit):
    dense = np.stack([matrix.toarray() for matrix in MATRICES], axis=2)
    union = union_of(MATRICES).toarray()
    for batch in sampler(unit=unit, learns="union", negatives_per_positive=2).epoch(0):
        (pairs,) = batch.pairs
        users = batch.users[pairs.rows]
        assert (batch.labels.numpy() == dense[users, pairs.positives]).all()
        assert (batch.labels.sum(1) > 0).all()
        assert (union[users, pairs.negatives] == 0).all()


def test_other_learners_have_no_labels():
    assert next(sampler().epoch(0)).labels is None


def test_the_unit_chooses_the_sampler():
    assert isinstance(sampler(unit="users"), UserSampler)
    assert isinstance(sampler(), InteractionSampler)


def test_the_union_is_what_any_has():
    expected = sum(matrix.toarray() for matrix in MATRICES) > 0
    assert (union_of(MATRICES).toarray() == expected).all()
