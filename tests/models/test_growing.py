from dataclasses import replace

import pytest
import torch
from torch import nn

from cigf.errors import ConfigError
from cigf.models.base import Sizes
from cigf.models.cigf import CIGF
from cigf.models.direct import DirectRecommender
from cigf.models.growing import NEW_ROWS, grow_model
from cigf.models.registry import MODELS, build_model, parse_model_config

OLD, NEW = Sizes(5, 7, 3), Sizes(8, 11, 3)


LEARNED = [n for n, e in MODELS.items() if not issubclass(e.build, DirectRecommender)]


@pytest.mark.parametrize("name", LEARNED)
def test_old_weights_stay_and_new_rows_are_small_draws(name):
    config = parse_model_config(name, {})
    old = build_model(name, config, OLD, seed=1)
    grown = grow_model(old, name, config, (OLD, NEW), seed=2)
    fresh = build_model(name, config, NEW, seed=2).state_dict()
    longer = 0
    for key, trained in old.state_dict().items():
        found = grown.state_dict()[key]
        if found.shape == trained.shape:
            assert torch.equal(found, trained)
        else:
            longer += 1
            assert torch.equal(found[: len(trained)], trained)
            torch.testing.assert_close(found[len(trained) :], NEW_ROWS * fresh[key][len(trained) :])
    assert longer >= 1
    assert all(parameter.requires_grad for parameter in grown.parameters())


def test_the_same_sizes_give_the_same_model():
    config = parse_model_config("cigf", {})
    old = build_model("cigf", config, OLD, seed=1)
    grown = grow_model(old, "cigf", config, (OLD, OLD), seed=2)
    for key, trained in old.state_dict().items():
        assert torch.equal(grown.state_dict()[key], trained)


def test_weights_that_depend_on_the_numbers_otherwise_are_refused(monkeypatch):
    class Wide(CIGF):
        def __init__(self, config, sizes, generator):
            super().__init__(config, sizes, generator)
            self.mixing = nn.Parameter(torch.zeros(2, sizes.n_items))

    config = parse_model_config("cigf", {})
    monkeypatch.setitem(MODELS, "cigf", replace(MODELS["cigf"], build=Wide))
    old = build_model("cigf", config, OLD, seed=1)
    message = r"cigf cannot grow to 8 users and 11 items: its mixing has the shape \(2, 7\)"
    with pytest.raises(ConfigError, match=message):
        grow_model(old, "cigf", config, (OLD, NEW), seed=2)
