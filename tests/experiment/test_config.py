"""Experiment files and settings."""

import tomllib
from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import pytest

from cigf.data.options import PrepareOptions
from cigf.data.prepare import prepare
from cigf.data.synthetic import generate_log
from cigf.errors import ConfigError
from cigf.experiment.config import ExperimentConfig, load_experiment
from cigf.experiment.training import train_run
from cigf.models.direct import DirectRecommender
from cigf.models.registry import MODELS

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def test_defaults_survive_a_round_trip_through_toml():
    config = ExperimentConfig()
    assert ExperimentConfig.parse(tomllib.loads(config.to_toml())) == config


FILES = [file for file in sorted(EXPERIMENTS.glob("**/*.toml")) if file.parent.name != "search"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_every_experiment_file_can_be_read(file):
    config = load_experiment(file)
    assert ExperimentConfig.parse(config.to_dict()) == config


def test_the_reference_experiment_is_the_published_setting():
    config = load_experiment(EXPERIMENTS / "cigf-reference.toml")
    assert config.data.train_on == "all"
    assert config.model.embedding_size == 16
    assert config.model.score_scale == 300
    training, sampling = config.training, config.sampling
    assert (training.epochs, training.learning_rate, training.l2) == (100, 1e-3, 0.01)
    assert (training.schedule, training.decay_rate, training.decay_steps) == ("staircase", 0.96, 39)
    assert (training.evaluate_every, training.restore) == (0, "last")
    assert (sampling.users_per_epoch, sampling.batch_size) == (10_000, 256)
    assert sampling.positives_per_user == 40


def test_settings_are_laid_over_a_file(tmp_path):
    file = tmp_path / "a.toml"
    file.write_text("seed = 3\n[model]\nn_layers = 4\n[training]\nepochs = 7\n")
    settings = ["training.epochs=9", "model.head=mmoe", "evaluation.ks=[3, 10]", "seed=5"]
    config = load_experiment(file, settings)
    assert (config.seed, config.training.epochs, config.model.n_layers) == (5, 9, 4)
    assert config.model.head == "mmoe"
    assert config.evaluation.ks == (3, 10)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["trainingg.epochs=1"], r"trainingg is not a section; did you mean training\?"),
        (["training.epoch=1"], r"training\.epoch is not an option; did you mean epochs\?"),
        (["training.epochs=many"], r"training\.epochs: .*given was 'many'"),
        (["training.epochs"], r"--set training\.epochs: must have the form section\.key=value"),
        (["seed.x=1"], r"seed: must be a whole number"),
        (["seed=-1"], r"seed: must be a whole number of at least 0; given was -1"),
        (["seed=true"], r"seed: must be a whole number"),
        (["training=4"], r"training is a section, not an option: write \[training\]"),
        (["seed=1", "seed.x=2"], r"--set seed\.x=2: seed is an option, not a section"),
        (["model.name=cgif"], r"model 'cgif' is unknown; did you mean cigf\?"),
        (["training.metric=hr@7/full"], r"training\.metric: 'hr@7/full' is not measured"),
        (["model.chain=papr"], r"model\.chain: .*'reference', 'paper' or 'independent'"),
    ],
)
def test_wrong_settings_say_what_is_wrong(settings, message):
    with pytest.raises(ConfigError, match=message):
        load_experiment(None, settings)


@pytest.mark.parametrize("value", ["inf", "nan"])
@pytest.mark.parametrize("name", MODELS)
def test_options_of_models_are_finite(name, value):
    """An artifact's manifest could not be read again."""
    for option, field in MODELS[name].config.model_fields.items():
        if field.annotation is float:
            with pytest.raises(ConfigError, match=rf"model\.{option}: .*; given was {value}"):
                load_experiment(None, [f"model.{option}={value}"], name)


def test_weights_of_behaviors_are_finite_and_options_of_the_loop_need_not_be():
    with pytest.raises(ConfigError, match=r"coefficients\.1: .*finite number; given was inf"):
        load_experiment(None, ["model.coefficients=[1, inf, 1]"], "ghcf")
    endless = ["training.divergence_factor=inf", "training.checkpoint_seconds=inf"]
    assert load_experiment(None, endless).training.divergence_factor == inf


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(ConfigError, match="no such configuration file"):
        load_experiment(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("epochs = = 3")
    with pytest.raises(ConfigError, match=r"bad\.toml: not a TOML file: .*line 1"):
        load_experiment(tmp_path / "bad.toml")


def test_the_model_option_wins():
    assert load_experiment(None, [], model="cigf").model_name == "cigf"
    with pytest.raises(ConfigError, match="model 'lightgcm' is unknown"):
        load_experiment(None, [], model="lightgcm")


@pytest.fixture
def particular(monkeypatch):
    """A model with settings of its own, which takes no data with three behaviors."""

    def check(config, dataset):
        if len(dataset.behaviors) == 3:
            raise ConfigError("particular takes any number of behaviors but three")

    defaults = {"training": {"epochs": 7}, "sampling": {"batch_size": 3}}
    entry = replace(MODELS["cigf"], defaults=defaults, check=check)
    monkeypatch.setitem(MODELS, "particular", entry)


def test_a_models_own_settings_lie_under_the_users(particular):
    config = load_experiment(None, ["training.l2=0.5"], "particular")
    assert (config.training.epochs, config.training.l2) == (7, 0.5)
    assert config.sampling.batch_size == 3
    assert load_experiment(None, ["training.epochs=8"], "particular").training.epochs == 8
    assert load_experiment().training.epochs == 100


def test_a_loss_can_fix_options_of_the_sampler(monkeypatch):
    def fixed(config):
        return {"sampling": {"positives_per_user": 0}} if config.head == "mesi" else {}

    entry = replace(MODELS["cigf"], defaults={"sampling": {"batch_size": 3}}, fixed=fixed)
    monkeypatch.setitem(MODELS, "exact", entry)
    config = load_experiment(None, ["sampling.batch_size=5"], "exact")
    assert (config.sampling.positives_per_user, config.sampling.batch_size) == (0, 5)
    assert ExperimentConfig.parse(config.to_dict()) == config
    with pytest.raises(ConfigError, match=r"sampling\.positives_per_user: must be 0 .*given was 4"):
        load_experiment(None, ["sampling.positives_per_user=4"], "exact")
    other = load_experiment(None, ["sampling.positives_per_user=4", "model.head=ple"], "exact")
    assert other.sampling.positives_per_user == 4


NO_NEGATIVES = "sampling.negatives_per_positive=0"
DO_WITHOUT = {"ghcf", "autorec", "cigf-plus"}


@pytest.mark.parametrize("name", MODELS)
def test_negatives_cannot_be_left_out_where_the_loss_needs_them(name):
    if name in DO_WITHOUT or issubclass(MODELS[name].build, DirectRecommender):
        assert load_experiment(None, [NO_NEGATIVES], name).sampling.negatives_per_positive == 0
        return
    message = rf"negatives_per_positive: must be at least 1 for model '{name}' .*given was 0"
    with pytest.raises(ConfigError, match=message):
        load_experiment(None, [NO_NEGATIVES], name)


@pytest.mark.parametrize(("name", "option"), [("autorec", "objective=bpr"), ("cigf", "head=ple")])
def test_whether_a_loss_needs_negatives_depends_on_its_options(name, option):
    with pytest.raises(ConfigError, match="negatives_per_positive: must be at least 1"):
        load_experiment(None, [f"model.{option}", NO_NEGATIVES], name)


def test_a_model_can_refuse_a_dataset_before_anything_is_written(particular, tmp_path):
    log = generate_log(31, 23, 900, generator=np.random.default_rng(0))
    prepare(log, tmp_path / "dataset", PrepareOptions())
    config = load_experiment(None, [], "particular")
    with pytest.raises(ConfigError, match="any number of behaviors but three"):
        train_run(tmp_path / "dataset", tmp_path / "run", config)
    assert not (tmp_path / "run").exists()
