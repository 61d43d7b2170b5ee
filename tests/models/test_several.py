"""Models of several behaviors refuse what they cannot use, before anything is trained."""

import pytest
import torch

from cigf.config import Config
from cigf.errors import ConfigError
from cigf.models.direct import WeightedConfig, check_weights
from cigf.models.several import check_several, check_shares, shares
from cigf.testing.toy import random_matrices, toy_dataset


def dataset(n_behaviors):
    return toy_dataset(random_matrices(n_behaviors=n_behaviors))


def test_a_single_behavior_is_refused():
    with pytest.raises(ConfigError, match="several behaviors: the dataset has behavior0 alone"):
        check_several(Config(), dataset(1))
    check_several(Config(), dataset(2))


@pytest.mark.parametrize("given", [(1.0, 2.0), (1.0, 2.0, 3.0, 4.0)])
def test_weights_are_as_many_as_behaviors(given):
    message = rf"weights: {len(given)} values for 3 behaviors \(behavior0, behavior1"
    with pytest.raises(ConfigError, match=rf"model\.{message}.* or none for equal weights"):
        check_shares("weights", given, dataset(3))
    with pytest.raises(ConfigError, match=rf"{message}.* or none for 1, 3, 5"):
        check_weights(WeightedConfig(behavior_weights=given), dataset(3))


def test_weights_are_not_all_zero():
    with pytest.raises(ConfigError, match=r"model\.weights: all are 0"):
        check_shares("weights", (0.0, 0.0), dataset(2))


@pytest.mark.parametrize("given", [(), (0.0, 5.0, 1.0)])
def test_fitting_weights_pass(given):
    check_shares("weights", given, dataset(3))


def test_weights_are_divided_by_their_sum():
    torch.testing.assert_close(shares((1.0, 4.0, 1.0), 3), torch.tensor([1 / 6, 4 / 6, 1 / 6]))
    torch.testing.assert_close(shares((), 4), torch.full((4,), 0.25))


def test_weights_beyond_single_precision_have_shares_too():
    torch.testing.assert_close(shares((1e39, 1e39, 0.0), 3), torch.tensor([0.5, 0.5, 0.0]))
