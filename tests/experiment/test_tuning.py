"""Studies: they find, prune, survive, go on, and never look at the test pairs."""

import importlib
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import optuna
import polars as pl
import psutil
import pytest

from cigf.data.dataset_store import load_split, save_split
from cigf.errors import ArtifactError, ConfigError, DivergedError, MissingExtraError, OutputError
from cigf.experiment import tuning
from cigf.experiment.config import load_experiment
from cigf.experiment.search_space import read_space
from cigf.experiment.training import fit_split
from cigf.experiment.tuning import tune
from cigf.training.events import EpochRecord

WILD = 1000.0
SPACE = """
model = "lightgcn"
[fixed.training]
epochs = 3
evaluate_every = 1
[fixed.sampling]
batch_size = 64
[space.model]
embedding_size = { type = "choice", choices = [2, 3] }
[space.training]
learning_rate = { type = "float", low = 1e-3, high = 1e-1, log = true }
"""


@pytest.fixture
def space(tmp_path):
    (tmp_path / "space.toml").write_text(SPACE)
    return tmp_path / "space.toml"


@pytest.fixture(scope="module")
def without_test_pairs(small, tmp_path_factory):
    """Tuning must do without them."""
    folder = tmp_path_factory.mktemp("untested") / "data"
    split = load_split(small)
    candidates = {key: value for key, value in split.candidates.items() if key[0] == "valid"}
    save_split(replace(split, test={}, candidates=candidates), folder)
    return folder


def fake(values, stop=None):
    """Trainings whose metric by epoch is (learning rate) x (value); `stop` ends one by Ctrl-C."""

    def fit(split, config, checkpoints, *, device, listener):
        rate = config.training.learning_rate
        if rate > WILD:
            raise DivergedError("the loss became nan")
        listener.on_start(len(values), 1, 0)
        for epoch, value in enumerate(values, 1):
            metrics = {config.training.metric: rate * value}
            listener.on_epoch(EpochRecord(epoch, 1.0, {"buy": 1.0}, rate, 5, metrics))
            if stop is not None and stop(config, epoch):
                raise KeyboardInterrupt
        return SimpleNamespace(valid=metrics)

    return fit


@pytest.fixture
def faked(monkeypatch):
    def use(*arguments, **options):
        monkeypatch.setattr(tuning, "fit_split", fake(*arguments, **options))

    return use


def test_the_best_configuration_trains_to_its_value(without_test_pairs, space, tmp_path):
    found = tune(without_test_pairs, space, tmp_path / "study", n_trials=2)
    assert [each.state for each in found.trials] == ["complete"] * 2
    assert found.best.value == max(each.value for each in found.trials)
    config = load_experiment(tmp_path / "study" / "best.toml")
    assert config == found.config
    split = load_split(without_test_pairs)
    again = fit_split(split, config, tmp_path / "again", device="auto")
    assert again.valid[found.metric] == found.best.value
    assert not list((tmp_path / "study" / "trials").iterdir())


def test_a_study_goes_on_until_it_has_its_trials(small, space, tmp_path, faked):
    faked([1.0, 2.0, 3.0])
    heard = []

    def hear(tried, best):
        heard.append((tried.number, best.number))

    tune(small, space, tmp_path / "study", n_trials=3, on_trial=hear)
    found = tune(small, space, tmp_path / "study", n_trials=5, on_trial=hear)
    assert [number for number, _ in heard] == [0, 1, 2, 3, 4]
    assert len({str(each.options) for each in found.trials}) == 5
    table = pl.read_csv(tmp_path / "study" / "trials.csv")
    assert table["state"].to_list() == ["complete"] * 5
    assert table[found.metric].max() == pytest.approx(found.best.value)
    assert found.best.value == pytest.approx(3 * found.best.options["training.learning_rate"])
    opened = [Path(file.path).name for file in psutil.Process().open_files()]
    assert "study.db" not in opened


def test_hopeless_trials_are_stopped_early(small, space, tmp_path, faked):
    faked([1.0, 2.0, 3.0])
    found = tune(small, space, tmp_path / "study", n_trials=11, pruner="median")
    pruned = [each for each in found.trials if each.state == "pruned"]
    assert pruned
    rates = [each.options["training.learning_rate"] for each in pruned]
    assert max(rates) < found.best.options["training.learning_rate"]
    assert found.best.state == "complete"


def test_an_interrupted_trial_is_taken_up_with_the_same_options(small, space, tmp_path, faked):
    out = tmp_path / "study"
    seen = []

    def stop(config, epoch):
        seen.append(config)
        return len(seen) == 5

    faked([1.0, 2.0, 3.0], stop=stop)
    with pytest.raises(KeyboardInterrupt):
        tune(small, space, out, n_trials=4)
    assert len(list((out / "trials").iterdir())) == 1  # it is needed again
    assert len(tune(small, space, out, n_trials=4).trials) == 4
    assert seen[4] == seen[5]  # the trial after the interruption is the one before
    assert len(tuning.stored(out / "study.db").trials) == 5


def test_a_resumed_trial_tells_again_what_it_had_reached(tmp_path):
    told = []

    class Trial:
        def report(self, value, step):
            told.append((step, value))

    (tmp_path / "metrics.jsonl").write_text(
        '{"epoch": 1, "metrics": null}\n{"epoch": 2, "metrics": {"m": 0.5}}\n'
    )
    report = tuning._Report.__new__(tuning._Report)
    report._trial, report._metric = Trial(), "m"
    report._metrics = tmp_path / "metrics.jsonl"
    report.on_start(9, 1, 2)
    assert told == [(2, 0.5)]


def test_a_trial_that_diverges_is_noted_and_the_study_goes_on(small, tmp_path, faked):
    faked([1.0])
    wild = SPACE.replace("low = 1e-3, high = 1e-1", f"low = {2 * WILD}, high = {3 * WILD}")
    (tmp_path / "space.toml").write_text(wild)
    found = tune(small, tmp_path / "space.toml", tmp_path / "study", n_trials=2)
    assert [each.state for each in found.trials] == ["failed"] * 2
    assert found.trials[0].error == "the loss became nan"
    assert found.best is None
    assert not (tmp_path / "study" / "best.toml").exists()


def test_the_same_options_are_not_trained_twice(small, tmp_path, faked):
    text = SPACE.split("[space.training]")[0].replace("[2, 3]", "[2]")
    (tmp_path / "space.toml").write_text(text)
    runs = []

    def count(config, epoch):
        runs.append(epoch)
        return False

    faked([1.0], stop=count)
    found = tune(small, tmp_path / "space.toml", tmp_path / "study", n_trials=3)
    assert len(found.trials) == 3
    assert runs == [1]


def test_another_space_or_dataset_is_refused(small, space, tmp_path, faked):
    faked([1.0])
    tune(small, space, tmp_path / "study", n_trials=1)
    other = tmp_path / "other.toml"
    other.write_text(SPACE.replace("1e-1", "1e-2"))
    with pytest.raises(OutputError, match="holds a study of another space"):
        tune(small, other, tmp_path / "study", n_trials=1)
    study = tuning.stored(tmp_path / "study" / "study.db")
    study.set_user_attr("fingerprint", "of other data")
    with pytest.raises(OutputError, match="holds a study on another dataset"):
        tune(small, space, tmp_path / "study", n_trials=1)


def test_tuning_needs_validation_pairs(small, space, tmp_path):
    save_split(replace(load_split(small), valid={}, candidates={}), tmp_path / "data")
    with pytest.raises(ConfigError, match="tuning needs validation pairs of buy"):
        tune(tmp_path / "data", space, tmp_path / "study", n_trials=1)
    space.write_text(SPACE + '[fixed.data]\ntrain_on = "all"\n')
    with pytest.raises(ConfigError, match=r"leave data\.train_on at train"):
        tune(small, space, tmp_path / "study", n_trials=1)
    assert not (tmp_path / "study").exists()


def test_a_damaged_study_is_refused(small, space, tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "study.db").write_text("no database" * 100)
    with pytest.raises(ArtifactError, match="not a study that can be read"):
        tune(small, space, tmp_path / "study", n_trials=1)


def test_without_optuna_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "cigf.experiment.tuning")
    with pytest.raises(MissingExtraError, match=r"pip install 'cigf\[tune\]'"):
        importlib.import_module("cigf.experiment.tuning")


def test_lists_are_choices_too(tmp_path):
    (tmp_path / "space.toml").write_text(
        'model = "dmf"\n[space.model]\nuser_layers = { type = "choice", choices = [[8, 64]] }\n'
    )
    space = read_space(tmp_path / "space.toml")
    trial = optuna.create_study().ask()
    assert tuning._choose(trial, space) == {"model.user_layers": [8, 64]}
