from itertools import product

import numpy as np
import pytest
from scipy import stats

from cigf.errors import DataError
from cigf.evaluation.significance import (
    bootstrap_interval,
    bootstrap_means,
    holm,
    paired_bootstrap,
    paired_bootstraps,
    wilcoxon,
)

N_USERS = 61


@pytest.fixture
def values():
    generator = np.random.default_rng(1)
    values = generator.random((N_USERS, 3))
    values[::2, 1] = np.nan
    values[:, 2] = values[:, 0]
    return values


def test_means_equal_those_of_users_picked_one_by_one(values):
    means = bootstrap_means(values, np.random.default_rng(5), n_bootstrap=23)
    picks = np.random.default_rng(5).integers(0, N_USERS, (23, N_USERS))
    expected = [
        [np.nanmean([values[user, column] for user in pick]) for column in range(3)]
        for pick in picks
    ]
    np.testing.assert_allclose(means, expected, rtol=1e-5)


def test_resamples_do_not_depend_on_how_many_are_made_at_once(values, monkeypatch):
    whole = bootstrap_means(values, np.random.default_rng(5), n_bootstrap=23)
    monkeypatch.setattr("cigf.evaluation.significance.RESAMPLES_AT_ONCE", 7)
    parts = bootstrap_means(values, np.random.default_rng(5), n_bootstrap=23)
    np.testing.assert_allclose(parts, whole, rtol=1e-6)


def test_the_interval_holds_the_wanted_share_of_the_means(values):
    low, high = bootstrap_interval(values, np.random.default_rng(2), 500, level=0.8)
    means = bootstrap_means(values, np.random.default_rng(2), 500)
    inside = ((means >= low) & (means <= high)).mean(axis=0)
    np.testing.assert_allclose(inside, 0.8, atol=0.005)


def test_the_interval_is_about_two_standard_errors_wide(values):
    low, high = bootstrap_interval(values[:, :1], np.random.default_rng(2), 2000)
    error = values[:, 0].std() / np.sqrt(N_USERS)
    assert high[0] - low[0] == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_a_column_without_users_has_no_interval():
    values = np.array([[1.0, np.nan], [3.0, np.nan]])
    bounds = bootstrap_interval(values, np.random.default_rng(0), 50)
    assert bounds[:, 0].tolist() == [1.0, 3.0]
    assert np.isnan(bounds[:, 1]).all()


def test_paired_bootstrap_finds_a_difference_and_its_absence():
    generator = np.random.default_rng(3)
    first = generator.random(401)
    better = first - 0.1 + 0.2 * generator.random(401)
    same = paired_bootstrap(first, better, np.random.default_rng(0))
    assert same.low < 0 < same.high
    assert same.p_value > 0.05
    apart = paired_bootstrap(first + 0.05, better, np.random.default_rng(0))
    assert apart.difference == pytest.approx((first + 0.05 - better).mean())
    assert 0 < apart.low < apart.difference < apart.high
    assert apart.p_value == pytest.approx(2 / 1001)


def test_paired_tests_leave_out_users_without_a_value():
    first = np.array([0.5, np.nan, 0.75, 0.25])
    second = np.array([0.0, np.nan, 0.5, 0.125])
    compared = paired_bootstrap(first, second, np.random.default_rng(0))
    assert compared.difference == pytest.approx((0.5 + 0.25 + 0.125) / 3)
    # Three differences of one sign: 2 of the 2^3 sign patterns are as extreme.
    assert wilcoxon(first, second) == pytest.approx(2 / 8)


def test_equal_models_do_not_differ():
    values = np.linspace(0, 1, 7)
    assert wilcoxon(values, values) == 1.0
    assert paired_bootstrap(values, values, np.random.default_rng(0)).p_value == 1.0


def test_figures_summed_in_another_order_do_not_differ():
    ranks = np.random.default_rng(6).random((N_USERS, 12)).argsort(axis=1)[:, :5] + 1
    gains = 1 / np.log2(np.sort(ranks) + 1)
    first, second = gains.cumsum(axis=1)[:, -1], gains[:, ::-1].cumsum(axis=1)[:, -1]
    assert (first != second).any()
    assert wilcoxon(first, second) == 1.0
    assert paired_bootstrap(first, second, np.random.default_rng(0)).p_value == 1.0


def test_differences_of_one_size_tie_whatever_they_were_taken_from():
    # Each is .1 but for rounding, by which the first would be the smallest: 2 of 2^3 patterns.
    first, second = np.array([0.3, 0.7, 0.1]), np.array([0.2, 0.8, 0.2])
    assert len(set(np.abs(first - second))) == 3
    assert wilcoxon(first, second) == 1.0


@pytest.mark.parametrize("seed", range(5))
def test_wins_and_losses_that_cancel_add_up_to_nothing(seed):
    generator = np.random.default_rng(seed)
    mine, theirs = generator.integers(0, 6, (2, 12))  # hits of 12 users in 5 runs
    exact, rounded = (
        paired_bootstrap(a, b, np.random.default_rng(1), 2000).p_value
        for a, b in ((mine.astype(float), theirs.astype(float)), (mine / 5, theirs / 5))
    )
    assert exact == rounded


def test_resamples_without_a_member_of_the_group_do_not_count():
    group = np.full((N_USERS, 1), np.nan)
    group[:2, 0] = [1.0, -0.9]
    found = paired_bootstraps(group, np.random.default_rng(0), 2000)[0]
    means = bootstrap_means(group, np.random.default_rng(0), 2000)[:, 0]
    means = means[~np.isnan(means)]
    assert len(means) < 1900  # one in e^2 resamples holds neither
    smaller = min(sum(means <= 0), sum(means >= 0))
    assert found.p_value == pytest.approx(2 * (smaller + 1) / (len(means) + 1))


@pytest.mark.parametrize("second", [np.zeros(4), np.array([0.0, np.nan, 0.0])])
def test_different_users_cannot_be_compared(second):
    with pytest.raises(DataError, match="evaluate both models on the same split"):
        wilcoxon(np.zeros(3), second)


def test_users_without_values_cannot_be_compared():
    with pytest.raises(DataError, match="no user has a value"):
        wilcoxon(np.full(3, np.nan), np.full(3, np.nan))


def test_holm_by_hand():
    # Sorted: .01 x 4, .02 x 3, .03 x 2 = .06, .5 x 1; each at least the one before.
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize("n_users", [5, 9])
def test_wilcoxon_with_ties_counts_every_choice_of_signs(n_users):
    generator = np.random.default_rng(n_users)
    differences = generator.integers(1, 4, n_users) * generator.choice([-1.0, 1.0], n_users)
    ranks = stats.rankdata(np.abs(differences))
    sums = [ranks[list(signs)].sum() for signs in product([False, True], repeat=n_users)]
    found = ranks[differences > 0].sum()
    tails = (np.array(sums) <= found).mean(), (np.array(sums) >= found).mean()
    expected = min(1.0, 2 * min(tails))
    nothing = np.zeros(n_users)
    assert wilcoxon(differences, nothing) == pytest.approx(expected)
    assert wilcoxon(nothing, differences) == pytest.approx(expected)  # the other tail


@pytest.mark.parametrize("n_users", [7, 50, 51])
def test_wilcoxon_without_ties_is_that_of_scipy(n_users):
    differences = np.random.default_rng(4).normal(0.2, 1.0, n_users)
    with_zeros = np.concatenate([differences, [0.0, 0.0]])
    method = "exact" if n_users <= 50 else "asymptotic"
    expected = stats.wilcoxon(differences, method=method).pvalue
    assert wilcoxon(with_zeros, np.zeros(n_users + 2)) == pytest.approx(expected)
    assert wilcoxon(np.zeros(n_users + 2), with_zeros) == pytest.approx(expected)
