import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cigf.analysis.user_groups import (
    N_GROUPS,
    NO_GROUP,
    activity_groups,
    behavior_correlation,
    correlation_groups,
    count_interactions,
)
from cigf.data.dataset import build_matrix
from cigf.testing.toy import random_matrices, toy_dataset


def dataset(*dense):
    arrays = [np.asarray(each) for each in dense]
    return toy_dataset([build_matrix(*each.nonzero(), each.shape) for each in arrays])


def test_the_correlation_is_that_of_numpy():
    matrices = random_matrices(n_users=17, n_items=29)
    found = behavior_correlation(toy_dataset(matrices))
    for user in range(17):
        rows = [matrix.toarray()[user] for matrix in matrices]
        pairs = [(a, b) for place, a in enumerate(rows) for b in rows[place + 1 :]]
        defined = [np.corrcoef(a, b)[0, 1] for a, b in pairs if a.std() > 0 and b.std() > 0]
        expected = np.mean(defined) if defined else np.nan
        assert found[user] == pytest.approx(expected, nan_ok=True)
    assert np.isnan(found[0])  # she has no edges


def test_equal_rows_correlate_fully_and_opposite_ones_negatively():
    view = [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]]
    buy = [[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 0, 0], [1, 0, 0, 0]]
    found = behavior_correlation(dataset(view, buy))
    assert found == pytest.approx([1.0, -1.0, np.nan, np.nan], nan_ok=True)


def test_one_behavior_correlates_with_nothing():
    data = dataset([[1, 0], [1, 1]])
    assert np.isnan(behavior_correlation(data)).all()
    assert (correlation_groups(data, np.arange(2)).group == NO_GROUP).all()


def test_correlation_groups_ascend_and_are_equally_active():
    matrices = random_matrices(n_users=607, n_items=61)
    data = toy_dataset(matrices)
    users = np.arange(607)
    found = correlation_groups(data, users)
    assert found.n_groups == N_GROUPS
    assert (found.group == NO_GROUP).sum() == np.isnan(found.value).sum() > 0
    means = [found.value[found.group == g].mean() for g in range(N_GROUPS)]
    active = [found.n_interactions[found.group == g].mean() for g in range(N_GROUPS)]
    assert means == sorted(means)
    assert means[-1] - means[0] > 0.05
    assert max(active) < 1.03 * min(active)


@pytest.mark.parametrize("n_users", [7, 61, 119, 127, 607, 701])
def test_correlation_groups_are_equally_large(n_users):
    data = toy_dataset(random_matrices(n_users=n_users, n_items=61))
    group = correlation_groups(data, np.arange(n_users)).group
    sizes = np.bincount(group[group >= 0], minlength=N_GROUPS)
    assert sizes.max() - sizes.min() <= 1


def test_only_the_given_users_are_grouped_in_their_order():
    data = toy_dataset(random_matrices(n_users=41, n_items=23))
    users = np.array([31, 3, 17])
    for grouping in (correlation_groups, activity_groups):
        found = grouping(data, users)
        assert found.group.shape == (3,)
        assert found.n_interactions.tolist() == count_interactions(data)[users].tolist()


def test_activity_groups_by_hand():
    view = np.tri(13, 13, dtype=int)[:12]  # user u has u + 1 items
    found = activity_groups(dataset(view), np.arange(12))
    assert found.group.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert found.value.tolist() == list(range(1, 13))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40))
def test_users_of_equal_activity_stay_together(counts):
    view = np.array([[1] * count + [0] * (5 - count) for count in counts])
    found = activity_groups(dataset(view), np.arange(len(counts)))
    groups = {}
    for count, group in zip(counts, found.group.tolist(), strict=True):
        assert groups.setdefault(count, group) == group
    ordered = [groups[count] for count in sorted(groups)]
    assert ordered == sorted(ordered)
    assert set(found.group) == set(range(found.n_groups))


def test_nobody_is_in_no_group():
    data = toy_dataset(random_matrices())
    for grouping in (correlation_groups, activity_groups):
        assert grouping(data, np.empty(0, dtype=np.int64)).n_groups == 0
