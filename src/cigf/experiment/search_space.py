"""Search spaces: which options a model is tuned over, from a TOML file.

model = "lightgcn"

[fixed.training]            # what all trials share; the rest are the model's own settings
patience = 5

[space.model]               # what is searched
n_layers = { type = "int", low = 1, high = 4 }

[space.training]
learning_rate = { type = "float", low = 1e-4, high = 1e-2, log = true }
optimizer = { type = "choice", choices = ["adam", "adagrad"] }
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt, model_validator

from cigf.config import Config, merge_settings, read_toml
from cigf.errors import ConfigError, did_you_mean
from cigf.experiment.config import ExperimentConfig
from cigf.models.registry import model_entry


class _Range(Config):
    @model_validator(mode="after")
    def _in_order(self) -> "_Range":
        low, high, log = (getattr(self, name) for name in ("low", "high", "log"))
        if low >= high:
            raise ValueError(f"low must be below high: {low} and {high}")
        if log and low <= 0:
            raise ValueError(f"on a logarithmic scale low must be above 0: {low}")
        return self


class IntRange(_Range):
    """Whole numbers."""

    type: Literal["int"]
    low: int
    """Smallest."""
    high: int
    """Largest."""
    step: PositiveInt = 1
    """Between two of them; not on a logarithmic scale."""
    log: bool = False
    """Whether to draw on a logarithmic scale."""

    @model_validator(mode="after")
    def _no_steps_on_a_logarithmic_scale(self) -> "IntRange":
        if self.log and self.step != 1:
            raise ValueError("give step or log, not both")
        return self

    def ends(self) -> tuple[int, int]:
        """Return the smallest and the largest value."""
        return self.low, self.high


class FloatRange(_Range):
    """Numbers."""

    type: Literal["float"]
    low: float
    """Smallest."""
    high: float
    """Largest."""
    log: bool = False
    """Whether to draw on a logarithmic scale."""

    def ends(self) -> tuple[float, float]:
        """Return the smallest and the largest value."""
        return self.low, self.high


class Choice(Config):
    """One of some values."""

    type: Literal["choice"]
    choices: list[bool | int | float | str | list[Any]] = Field(min_length=1)
    """The values; lists too."""

    def ends(self) -> tuple[Any, ...]:
        """Return all values."""
        return tuple(self.choices)


Dimension = IntRange | FloatRange | Choice

_TYPES: dict[str, type[IntRange] | type[FloatRange] | type[Choice]] = {
    "int": IntRange,
    "float": FloatRange,
    "choice": Choice,
}
_KEYS = ("model", "fixed", "space")


@dataclass(frozen=True)
class SearchSpace:
    """What is tuned.

    Args:
        model: Name in the registry.
        fixed: Sections and options that all trials share.
        dimensions: What is searched: "section.option" -> where.
    """

    model: str
    fixed: Mapping[str, Any]
    dimensions: Mapping[str, Dimension]

    def config(self, chosen: Mapping[str, Any]) -> ExperimentConfig:
        """Return the configuration of a trial.

        Args:
            chosen: A value for each dimension.

        Raises:
            ConfigError: The options do not go together.
        """
        values: dict[str, Any] = merge_settings(self.fixed, ())
        for name, value in chosen.items():
            section, option = name.split(".")
            values.setdefault(section, {})[option] = value
        values["model"] = {**values.get("model", {}), "name": self.model}
        return ExperimentConfig.parse(values)


def read_space(path: Path) -> SearchSpace:
    """Read a search space and check that each end of each dimension is allowed.

    Raises:
        ConfigError: The file is no TOML, a key, model, section or option is unknown (with a
            suggestion), or a value is not allowed.
    """
    values = read_toml(path)
    try:
        return _space(values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _space(values: Mapping[str, Any]) -> SearchSpace:
    for key in values:
        if key not in _KEYS:
            raise ConfigError(
                f"{key} is not a key of a search space{did_you_mean(key, _KEYS)} "
                f"(keys: {', '.join(_KEYS)})"
            )
    if not isinstance(values.get("model"), str):
        raise ConfigError('model: name the model, such as model = "cigf"')
    model_entry(values["model"])
    dimensions = {
        f"{section}.{option}": _dimension(f"space.{section}.{option}", given)
        for section, options in _table(values, "space").items()
        for option, given in _table(values["space"], section).items()
    }
    if not dimensions:
        raise ConfigError("[space] is empty; give at least one option to search")
    space = SearchSpace(values["model"], _table(values, "fixed"), dimensions)
    for name, dimension in dimensions.items():
        for end in dimension.ends():
            space.config({name: end})
    return space


def _table(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = values.get(name, {})
    if not isinstance(table, Mapping):
        raise ConfigError(f"{name} is a section, not an option: write [{name}]")
    return table


def _dimension(name: str, given: Any) -> Dimension:
    if not isinstance(given, Mapping) or given.get("type") not in _TYPES:
        kind = given.get("type", "") if isinstance(given, Mapping) else ""
        raise ConfigError(
            f"{name}: give a type{did_you_mean(str(kind), _TYPES)} "
            f"(types: {', '.join(_TYPES)}), such as "
            '{ type = "float", low = 1e-4, high = 1e-2, log = true }; '
            f"given was {given!r}"
        )
    return _TYPES[given["type"]].parse(given, name)
