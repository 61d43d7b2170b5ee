"""What a comparison refuses before anything is trained."""

import pytest

from cigf.data.behaviors import Behaviors
from cigf.data.dataset import Dataset
from cigf.data.dataset_store import load_split
from cigf.data.splitting import Split
from cigf.errors import ConfigError
from cigf.experiment.entries import check_entries, read_entries


def test_models_take_their_authors_settings_unless_told_otherwise(tmp_path):
    (tmp_path / "dmf.toml").write_text("[model]\nname = 'dmf'\n[training]\nepochs = 7\n")
    cigf, dmf = read_entries(["cigf", "dmf"], [tmp_path / "dmf.toml"], ["sampling.batch_size=3"])
    assert (cigf.name, dmf.name) == ("cigf", "dmf")
    assert (cigf.config.training.epochs, dmf.config.training.epochs) == (100, 7)
    assert cigf.config.sampling.batch_size == dmf.config.sampling.batch_size == 3
    assert dmf.with_seed(5).seed == 5
    assert dmf.config.seed == 0


def test_a_file_stands_above_a_folder(tmp_path):
    for name, epochs in (("cigf", 3), ("dmf", 4)):
        text = f"[model]\nname = '{name}'\n[training]\nepochs = {epochs}\n"
        (tmp_path / f"{name}.toml").write_text(text)
    (tmp_path / "own.toml").write_text("[training]\nepochs = 9\n")  # of the default model
    entries = read_entries(["cigf", "dmf"], [tmp_path / "own.toml", tmp_path])
    assert [entry.config.training.epochs for entry in entries] == [9, 4]


@pytest.mark.parametrize(
    ("models", "files", "settings", "message"),
    [
        (["cigf", "lightgnc"], [], [], "'lightgnc' is unknown; did you mean lightgcn?"),
        (["dmf", "dmf"], [], [], "--models: dmf is named twice"),
        ([], [], [], "--models: none given"),
        (["dmf"], ["x.toml"], [], "is for model 'ngcf', which is not among --models"),
        (["dmf"], [""], [], "dmf.toml: no such configuration file"),
        (["dmf"], [], ["training.epoch=2"], "dmf: training.epoch is not an option; did you mean"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path, models, files, settings, message):
    (tmp_path / "x.toml").write_text("[model]\nname = 'ngcf'\n")
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        read_entries(models, [tmp_path / name for name in files], settings)


def test_every_model_that_cannot_take_the_data_is_named(small):
    split = load_split(small)
    train = split.train
    single = Dataset(
        Behaviors(("buy",)), train.users, train.items, train.interactions[-1:], train.times[-1:]
    )
    alone = Split(single, split.withheld[-1:], split.valid, split.test, {}, "")
    entries = read_entries(["dmf", "nmtr", "mbgcn"])
    with pytest.raises(ConfigError, match=r"^nmtr: .*several behaviors.*; mbgcn: .*buy alone"):
        check_entries(entries, alone)
    check_entries(entries, split)
    both = ["sampling.subgraph=budget", "sampling.unit=interactions"]
    entries = read_entries(["dmf", "lightgcn"], settings=both)
    with pytest.raises(ConfigError, match=r"^dmf: .* on sub-graphs.*; lightgcn: .* around users"):
        check_entries(entries, split)
