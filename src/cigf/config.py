"""Configuration: frozen typed sections, TOML in and out, errors that name the option.

Each component has its own `Config` subclass; a field and the string under it are the only place
where an option is described. These strings are not read when a program starts, because finding
them in the source takes a tenth of a second for all models on an old processor. Nothing here has
side effects.
"""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError

from cigf.errors import ConfigError, did_you_mean

# Not `Self`, which beartype cannot check where it decorates methods one by one.
ConfigT = TypeVar("ConfigT", bound="Config")


class Config(BaseModel):
    """Base of all configuration sections: frozen, and closed to unknown options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def parse(cls: type[ConfigT], values: Mapping[str, Any], section: str = "") -> ConfigT:
        """Build the section from plain values.

        Args:
            values: Option names to values, as read from TOML.
            section: Dotted prefix for messages, such as "model".

        Raises:
            ConfigError: An option is unknown (with a suggestion), of the wrong type or range.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(_explain(cls, error, section)) from None


class ModelConfig(Config):
    """Base of the models' sections: their numbers are finite, as JSON has no others."""

    model_config = ConfigDict(allow_inf_nan=False)


def _explain(cls: type[BaseModel], error: ValidationError, section: str) -> str:
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    option = ".".join([section, *location] if section else location)
    if first["type"] == "extra_forbidden":
        known = _fields_at(cls, location[:-1])
        return (
            f"{option} is not an option{did_you_mean(location[-1], known)} "
            f"(options here: {', '.join(known)})"
        )
    if first["type"] == "missing":
        return f"{option} is required"
    return f"{option}: {first['msg']}; given was {first['input']!r}"


def _fields_at(cls: type[BaseModel], path: list[str]) -> list[str]:
    for name in path:
        annotation = cls.model_fields[name].annotation if name in cls.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        cls = annotation
    return list(cls.model_fields)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        ConfigError: The file is missing or not TOML (with the line).
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such configuration file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a TOML file: {error}") from None


def to_toml(config: Config) -> str:
    """Return the section as TOML text; options that are None are left out."""
    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))


def merge_settings(values: Mapping[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """Return `values` with `section.key=value` settings laid over them.

    The text after "=" is read as a TOML value, and as a plain string where it is none.

    Raises:
        ConfigError: A setting is not of the form section.key=value.
    """
    merged = _copy(values)
    for setting in settings:
        key, equals, text = setting.partition("=")
        path = key.strip().split(".")
        if not equals or not all(path):
            raise ConfigError(f"--set {setting}: must have the form section.key=value")
        place = merged
        for name in path[:-1]:
            place = place.setdefault(name, {})
            if not isinstance(place, dict):
                raise ConfigError(f"--set {setting}: {name} is an option, not a section")
        place[path[-1]] = _parse_value(text.strip())
    return merged


def _copy(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _copy(v) if isinstance(v, Mapping) else v for k, v in values.items()}


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
