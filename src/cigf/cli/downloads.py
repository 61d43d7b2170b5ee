"""How far downloads are: bars on a terminal, one plain line per file elsewhere."""

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn


class DownloadProgress:
    """Called with file name, bytes so far and all bytes (or None); a context manager.

    Args:
        console: Where to write; default: stderr.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(file=sys.stderr, highlight=False)
        self._tasks: dict[str, TaskID] = {}
        self._display = Progress(
            TextColumn("{task.description}"),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )

    def __enter__(self) -> "DownloadProgress":
        self._display.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._display.stop()

    def __call__(self, name: str, done: int, total: int | None) -> None:
        """Show how far a file is."""
        if name not in self._tasks:
            if not self.console.is_terminal:
                self.console.print(f"Downloading {name}", markup=False)
            self._tasks[name] = self._display.add_task(name, total=total)
        self._display.update(self._tasks[name], completed=done, total=total)
