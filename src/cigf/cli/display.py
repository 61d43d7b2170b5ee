"""A bar that is there as long as the block it belongs to."""

import sys
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress, ProgressColumn

Shown = TypeVar("Shown", bound="Display")


class Display:
    """Shows progress on a terminal, nothing elsewhere; a context manager.

    Args:
        columns: What is shown of each task.
        console: Where to write; default: stderr.
        transient: Whether it goes away at the end.
    """

    def __init__(
        self, *columns: ProgressColumn, console: Console | None = None, transient: bool = False
    ) -> None:
        self.console = console or Console(file=sys.stderr, highlight=False)
        self._display = Progress(
            *columns,
            console=self.console,
            disable=not self.console.is_terminal,
            transient=transient,
        )

    def __enter__(self: Shown) -> Shown:
        self._display.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.console.is_terminal:  # before Rich 14.3 a disabled bar ends with an empty line
            self._display.stop()
