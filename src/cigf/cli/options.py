"""Options that several commands share, and how their text is split."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cigf.errors import ConfigError

Force = Annotated[bool, typer.Option("--force", help="Replace the output if it exists.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Out = Annotated[Path, typer.Option("--out", help="What to write.", show_default=False)]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of every random choice.")]
Behavior = Annotated[
    str | None,
    typer.Option("--behavior", help="Behavior to predict.", show_default="the target"),
]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where to compute.")]
OnError = Annotated[
    Literal["fail", "skip"],
    typer.Option(help="Rows that cannot be used: stop, or leave them out and say how many."),
]
SplitName = Annotated[
    Literal["test_file", "last", "time", "random", "none"] | None,
    typer.Option(
        "--split",
        help="Which target pairs are held out.",
        show_default="the given test pairs, else last",
    ),
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Folder written by cigf train.")]
DatasetArgument = Annotated[
    Path, typer.Argument(metavar="DATASET", help="Folder written by cigf data.")
]


def words(text: str | None) -> tuple[str, ...] | None:
    """Split "view,cart,buy" into its words; None stays None."""
    if text is None:
        return None
    return tuple(word.strip() for word in text.split(",") if word.strip())


def pairs(option: str, text: str | None) -> dict[str, str]:
    """Split "pv=view,buy=buy" into a mapping.

    Raises:
        ConfigError: A part has no "=".
    """
    mapping = {}
    for word in words(text) or ():
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise ConfigError(f"{option} {text}: {word!r} must have the form value=behavior")
        mapping[key.strip()] = value.strip()
    return mapping


def numbers(option: str, text: str) -> tuple[int, ...]:
    """Split "1,5,10" into positive integers.

    Raises:
        ConfigError: A part is not a positive integer, or there is none.
    """
    parts = words(text) or ()
    if not parts or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ConfigError(f"{option} {text}: must be positive integers, such as 1,5,10")
    return tuple(int(part) for part in parts)


def given(**values: object) -> dict[str, object]:
    """Return the options that were given, so that defaults stand in one place only."""
    return {name: value for name, value in values.items() if value is not None}
