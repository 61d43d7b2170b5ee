"""Entries: the rows of a comparison, each a model with its options, checked before any training."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cigf.config import merge_settings, read_toml
from cigf.data.splitting import Split
from cigf.errors import ConfigError
from cigf.experiment.checks import check_run, learned_from
from cigf.experiment.config import DEFAULT_MODEL, ExperimentConfig
from cigf.models.registry import model_entry


@dataclass(frozen=True)
class Entry:
    """A row.

    Args:
        name: What the row is called; also a folder's name.
        config: What is trained, whatever its seed.
    """

    name: str
    config: ExperimentConfig

    def with_seed(self, seed: int) -> ExperimentConfig:
        """Return the configuration of one cell."""
        return replace(self.config, seed=seed)


def read_entries(
    models: Sequence[str], configs: Iterable[Path] = (), settings: Iterable[str] = ()
) -> list[Entry]:
    """Return one entry per model.

    Args:
        models: Names in the registry.
        configs: Experiment files, each for the model that it names, and folders with a file
            NAME.toml for every model. Models without one take their authors' settings.
        settings: Of the form section.key=value, for all models.

    Raises:
        ConfigError: A model is unknown (with a suggestion), named twice, or has no file in a
            folder; a file is of a model that is not compared; an option is not allowed.
    """
    for place, name in enumerate(models):
        model_entry(name)
        if name in models[:place]:
            raise ConfigError(f"--models: {name} is named twice; name each model once")
    if not models:
        raise ConfigError("--models: none given; name some, such as cigf,lightgcn")
    files = _files(models, configs)
    chosen = list(settings)
    return [Entry(name, _load(name, files.get(name, {}), chosen)) for name in models]


def _load(name: str, values: Mapping[str, Any], settings: Sequence[str]) -> ExperimentConfig:
    named = {**values, "model": {**values.get("model", {}), "name": name}}
    try:
        return ExperimentConfig.parse(merge_settings(named, settings))
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None


def _files(models: Sequence[str], configs: Iterable[Path]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for path in configs:
        if path.is_dir():
            each = {name: read_toml(path / f"{name}.toml") for name in models}
        else:
            values = read_toml(path)
            each = {values.get("model", {}).get("name", DEFAULT_MODEL): values}
        for name, values in each.items():
            if name not in models:
                raise ConfigError(
                    f"--config {path}: is for model {name!r}, which is not among --models "
                    f"({', '.join(models)})"
                )
            # A file is meant for its model alone, so it stands above a folder.
            if name not in found or not path.is_dir():
                found[name] = values
    return found


def check_entries(entries: Iterable[Entry], split: Split) -> None:
    """Refuse what some entry cannot take, before anything is trained.

    Raises:
        ConfigError: Names every entry that cannot take the dataset, and why.
    """
    refusals = []
    for entry in entries:
        try:
            check_run(entry.config, learned_from(split, entry.config))
        except ConfigError as error:
            refusals.append(f"{entry.name}: {error}")
    if refusals:
        raise ConfigError("; ".join(refusals))
