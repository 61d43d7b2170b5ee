"""ExperimentConfig: all sections of one run, from TOML and from `--set section.key=value`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import NonNegativeInt, PositiveInt

from cigf.config import Config, merge_settings, read_toml
from cigf.errors import ConfigError, did_you_mean
from cigf.evaluation.metrics import DEFAULT_METRICS, metric_names
from cigf.evaluation.protocols import split_name
from cigf.models.registry import (
    fixed_options,
    model_entry,
    needs_negatives,
    parse_model_config,
)
from cigf.sampling.config import SamplingConfig
from cigf.training.config import TrainingConfig

DEFAULT_MODEL = "cigf"


class DataConfig(Config):
    """Which part of a dataset a run learns from."""

    train_on: Literal["train", "all"] = "train"
    """train: validation pairs are held out and select the epoch; all: they are learned from too,
    so nothing is validated and the last epoch is kept."""


class EvaluationConfig(Config):
    """How models are ranked against each other."""

    protocols: tuple[Literal["full", "1+99"], ...] = ("full", "1+99")
    """Ranking among the whole catalog, and among 99 sampled items."""
    ks: tuple[PositiveInt, ...] = (1, 5, 10, 20)
    """Cut-offs."""
    candidate_seed: NonNegativeInt = 0
    """Which stored draw of the 99 candidates is used."""


@dataclass(frozen=True)
class ExperimentConfig:
    """Everything a run is a function of, besides the dataset.

    Args:
        seed: Source of every random draw.
        model_name: Name in the registry.
        model: The model's own options.
        sampling: Pairs per step.
        training: The loop.
        data: What is learned from.
        evaluation: Protocols and cut-offs.
    """

    seed: int = 0
    model_name: str = DEFAULT_MODEL
    model: Config = field(default_factory=lambda: parse_model_config(DEFAULT_MODEL, {}))
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    data: DataConfig = field(default_factory=DataConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def __post_init__(self) -> None:
        metric, protocol, _ = split_name(self.training.metric)
        measured = metric_names(DEFAULT_METRICS, self.evaluation.ks)
        if protocol not in self.evaluation.protocols or metric not in measured:
            raise ConfigError(
                f"training.metric: {self.training.metric!r} is not measured; "
                f"evaluation.protocols has {', '.join(self.evaluation.protocols)}, "
                f"and the metrics are {', '.join(measured)}"
            )

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> "ExperimentConfig":
        """Build from plain values, as read from TOML; a model's own defaults come before ours.

        Raises:
            ConfigError: A section or option is unknown, or a value is not allowed.
        """
        for name, value in values.items():
            if name not in _SECTIONS:
                raise ConfigError(
                    f"{name} is not a section{did_you_mean(name, _SECTIONS)} "
                    f"(sections: {', '.join(_SECTIONS)})"
                )
            if name != "seed" and not isinstance(value, Mapping):
                raise ConfigError(f"{name} is a section, not an option: write [{name}]")
        model = dict(values.get("model", {}))
        name = model.pop("name", DEFAULT_MODEL)
        options = parse_model_config(name, model)
        defaults, fixed = model_entry(name).defaults, fixed_options(name, options)
        sampling, training = (
            {
                **defaults.get(section, {}),
                **values.get(section, {}),
                **_fixed(section, values.get(section, {}), fixed.get(section, {}), name),
            }
            for section in ("sampling", "training")
        )
        sampled = SamplingConfig.parse(sampling, "sampling")
        if not sampled.negatives_per_positive and needs_negatives(name, options):
            raise ConfigError(
                "sampling.negatives_per_positive: must be at least 1 for model "
                f"{name!r} with these options, whose loss sets items that users chose against "
                "items that they did not; given was 0"
            )
        return cls(
            seed=_parse_seed(values.get("seed", 0)),
            model_name=name,
            model=options,
            sampling=sampled,
            training=TrainingConfig.parse(training, "training"),
            data=DataConfig.parse(values.get("data", {}), "data"),
            evaluation=EvaluationConfig.parse(values.get("evaluation", {}), "evaluation"),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the resolved values; `parse` reads them back."""
        sections: dict[str, Config] = {
            "sampling": self.sampling,
            "training": self.training,
            "data": self.data,
            "evaluation": self.evaluation,
        }
        model = {"name": self.model_name, **self.model.model_dump(mode="json")}
        return {
            "seed": self.seed,
            "model": model,
            **{name: section.model_dump(mode="json") for name, section in sections.items()},
        }

    def to_toml(self) -> str:
        """Return the resolved configuration as TOML."""
        return tomli_w.dumps(self.to_dict())


_SECTIONS = ("seed", "model", "sampling", "training", "data", "evaluation")


def _parse_seed(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConfigError(f"seed: must be a whole number of at least 0; given was {value!r}")
    return value


def _fixed(
    section: str, given: Mapping[str, Any], fixed: Mapping[str, Any], name: str
) -> Mapping[str, Any]:
    """Return what the model fixes, once nothing that was given contradicts it."""
    for option, value in fixed.items():
        if given.get(option, value) != value:
            raise ConfigError(
                f"{section}.{option}: must be {value!r} for the loss of model {name!r} with these "
                f"options; given was {given[option]!r}. Leave it out"
            )
    return fixed


def load_experiment(
    config: Path | None = None, settings: Iterable[str] = (), model: str | None = None
) -> ExperimentConfig:
    """Read an experiment file and lay settings over it.

    Args:
        config: A TOML file; None begins with the defaults.
        settings: Of the form section.key=value.
        model: Name of the model, as `--model` gives it; the file's options for another model
            are refused, not ignored.

    Raises:
        ConfigError: Something in them is not an option or not allowed.
    """
    values = merge_settings(read_toml(config) if config else {}, settings)
    if model is not None:
        values["model"] = {**values.get("model", {}), "name": model}
    return ExperimentConfig.parse(values)
