"""Search spaces: what they allow, what they refuse, and that every model has one."""

from pathlib import Path

import pytest

from cigf.errors import ConfigError
from cigf.experiment.search_space import Choice, FloatRange, IntRange, read_space
from cigf.models.registry import MODELS

SEARCH = Path(__file__).resolve().parents[2] / "experiments" / "search"
SPACE = """
model = "dmf"
[fixed.training]
epochs = 3
[space.model]
user_layers = { type = "choice", choices = [[64], [8, 64]] }
[space.training]
learning_rate = { type = "float", low = 1e-4, high = 1e-2, log = true }
evaluate_every = { type = "int", low = 1, high = 5, step = 2 }
"""


def read(tmp_path, text):
    (tmp_path / "space.toml").write_text(text)
    return read_space(tmp_path / "space.toml")


def test_a_space_makes_configurations(tmp_path):
    space = read(tmp_path, SPACE)
    assert {name: type(each) for name, each in space.dimensions.items()} == {
        "model.user_layers": Choice,
        "training.learning_rate": FloatRange,
        "training.evaluate_every": IntRange,
    }
    config = space.config({"model.user_layers": [8, 64], "training.learning_rate": 0.005})
    assert config.model_name == "dmf"
    assert config.model.user_layers == (8, 64)
    assert (config.training.epochs, config.training.learning_rate) == (3, 0.005)
    assert space.config({}).model.user_layers == (512, 64)  # what is fixed stays as it was


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"dmf"', '"dfm"', "model 'dfm' is unknown; did you mean dmf?"),
        ('model = "dmf"', "", "name the model"),
        (
            "[fixed.training]",
            "[fixd.training]",
            "fixd is not a key of a search space",
        ),
        ("epochs = 3", "epoch = 3", "training.epoch is not an option; did you mean epochs?"),
        ("[space.training]", "[space.train]", "train is not a section; did you mean training"),
        ("learning_rate =", "learning_rat =", "training.learning_rat is not an option; did you"),
        ('"float"', '"flot"', "space.training.learning_rate: give a type; did you mean float"),
        ("log = true", "logs = true", "learning_rate.logs is not an option; did you mean log?"),
        ("high = 1e-2", "high = 1e-5", "low must be below high"),
        ("low = 1e-4", "low = -1e-4", "on a logarithmic scale low must be above 0"),
        ("low = 1, high = 5", "low = -2, high = 5", "training.evaluate_every: Input should be"),
        ("step = 2", "step = 2, log = true", "give step or log, not both"),
        ("[[64], [8, 64]]", "[]", "space.model.user_layers.choices"),
        ('{ type = "int", low = 1, high = 5, step = 2 }', "3", "evaluate_every: give a type"),
        ("[fixed.training]\nepochs = 3", "fixed = 3", "fixed is a section, not an option"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, old, new, message):
    assert old in SPACE
    with pytest.raises(ConfigError) as found:
        read(tmp_path, SPACE.replace(old, new))
    assert message in str(found.value)
    assert str(found.value).startswith(f"{tmp_path / 'space.toml'}: ")


def test_an_empty_space_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"\[space\] is empty"):
        read(tmp_path, 'model = "dmf"')


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no such configuration file"):
        read_space(tmp_path / "nowhere.toml")


@pytest.mark.parametrize("model", [name for name, e in MODELS.items() if e.config.model_fields])
def test_every_model_with_options_has_a_search_space(model):
    space = read_space(SEARCH / f"{model}.toml")
    assert space.model == model
    assert f"experiments/search/{model}.toml" in (SEARCH / f"{model}.toml").read_text()
