"""What all commands ask that read an event log: where it is, and how it is to be understood."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from inspect import Parameter, signature
from typing import Annotated, Any

import typer

from cigf.cli.options import OnError, given, pairs, words
from cigf.errors import ConfigError

_HOW = "How the log is read"


@dataclass(frozen=True)
class Log:
    """An event log as a user names it.

    Args:
        sources: Files, folders, globs and database URIs; one at least.
        options: What was given of `data.options.ReadOptions`.
    """

    sources: list[str]
    options: dict[str, object]


def _how(
    map_: Annotated[
        str | None,
        typer.Option("--map", rich_help_panel=_HOW, help="Values to behaviors: pv=view,fav=cart."),
    ] = None,
    user_col: Annotated[
        str | None, typer.Option(rich_help_panel=_HOW, help="Column of the user ids.")
    ] = None,
    item_col: Annotated[
        str | None, typer.Option(rich_help_panel=_HOW, help="Column of the item ids.")
    ] = None,
    behavior_col: Annotated[
        str | None, typer.Option(rich_help_panel=_HOW, help="Column of the behaviors.")
    ] = None,
    time_col: Annotated[
        str | None,
        typer.Option(rich_help_panel=_HOW, help='Column of the times; "" does without.'),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(rich_help_panel=_HOW, help="Column names of CSV files without a header."),
    ] = None,
    default_behavior: Annotated[
        str | None,
        typer.Option(rich_help_panel=_HOW, help="Behavior of logs that have no such column."),
    ] = None,
    query: Annotated[
        str | None, typer.Option(rich_help_panel=_HOW, help="SQL query for databases.")
    ] = None,
    on_error: OnError = "fail",
) -> dict[str, object]:
    """Return what was given; the only place where these options stand."""
    return given(
        mapping=pairs("--map", map_),
        user_col=user_col,
        item_col=item_col,
        behavior_col=behavior_col,
        time_col=time_col,
        column_names=words(columns),
        default_behavior=default_behavior,
        on_error=on_error,
        query=query,
    )


def _sources(
    events: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="EVENTS",
            help="Files, folders or globs (CSV, TSV, Parquet, JSON Lines, SQLite; .gz and .zst), "
            "or database URIs.",
        ),
    ] = None,
    connection: Annotated[
        str | None,
        typer.Option(rich_help_panel=_HOW, help="Database URI, such as sqlite:///shop.db."),
    ] = None,
) -> list[str]:
    """Return all of them."""
    sources = [*(events or []), *([connection] if connection else [])]
    if not sources:
        raise ConfigError("EVENTS: none given; name at least one file, or a --connection")
    return sources


def reads_log(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of reading a log in place of a parameter.

    In place of `log` it gets EVENTS too; in place of `how` it gets the options alone, and is given
    them as `Log` holds them.

    Raises:
        ConfigError: When the command runs: no source is given, or --map has another form.
    """
    how, sources = signature(_how).parameters, signature(_sources).parameters
    asked = {"log": {**sources, **how}, "how": how}
    own = signature(command).parameters
    parameters: list[Parameter] = []
    for name, parameter in own.items():
        parameters += asked[name].values() if name in asked else [parameter]
    parameters = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in parameters]

    @wraps(command)
    def run(**values: Any) -> None:
        options = _how(**{name: values.pop(name) for name in how})
        if "log" in own:
            log = Log(_sources(**{name: values.pop(name) for name in sources}), options)
            command(**values, log=log)
        else:
            command(**values, how=options)

    run.__signature__ = signature(command).replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run
