"""What commands print: results on stdout, all else on stderr."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import typer


def print_json(value: Any) -> None:
    """Print a result as JSON on stdout."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def say(text: str = "") -> None:
    """Print a remark on stderr."""
    typer.echo(text, err=True)


def print_table(
    header: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str | None = None
) -> None:
    """Print rows as a table on stdout; numbers are aligned to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    heading = None if title is None else Text(title)
    table = Table(title=heading, title_justify="left", box=box.SIMPLE_HEAD)
    for column, name in enumerate(header):
        is_number = bool(rows) and all(isinstance(row[column], int | float | None) for row in rows)
        table.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        # Text, because ids may hold brackets that Rich would take for markup.
        table.add_row(*(Text(_plain(value)) for value in row))
    width = None if sys.stdout.isatty() else 160
    Console(file=sys.stdout, width=width).print(table)


def _plain(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def print_next(*commands: str) -> None:
    """Say on stderr what to type next."""
    say("Next:")
    for command in commands:
        say(f"    {command}")


def warn_all(warnings: Sequence[str], dropped: Mapping[str, int]) -> None:
    """Say on stderr what was left out and what else the user should know."""
    for reason, count in dropped.items():
        say(f"Left out: {count:,} ({reason})")
    for warning in warnings:
        say(f"Note: {warning}")
