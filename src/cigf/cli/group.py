"""How every command ends: one clear line on stderr, and the exit code that tells why."""

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from cigf.cli.ranks import refuse_unshared
from cigf.errors import CigfError, QuietError, of_the_system

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


class Group(TyperGroup):
    """Command group that turns errors into messages; used by the root command alone."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command, unless several processes were started for one that is not shared."""
        name, command, rest = super().resolve_command(ctx, args)
        refuse_unshared(name)
        return name, command, rest

    def invoke(self, ctx: Any) -> Any:
        """Run the command.

        Raises:
            Exit: The command failed; carries the exit code.
        """
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except QuietError as error:
            raise typer.Exit(error.exit_code) from None
        except CigfError as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            typer.echo("Interrupted; nothing half-written was left behind.", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # The reader, such as `head`, has seen enough. Python flushes stdout once more on its
            # way out, which must not fail again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except OSError as error:
            found = of_the_system(error)
            typer.echo(f"Error: {found}", err=True)
            raise typer.Exit(found.exit_code) from None
