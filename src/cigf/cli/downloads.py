"""How far downloads are: bars on a terminal, one plain line per file elsewhere."""

from rich.console import Console
from rich.progress import DownloadColumn, TaskID, TextColumn, TransferSpeedColumn

from cigf.cli.display import Display


class DownloadProgress(Display):
    """Called with file name, bytes so far and all bytes (or None); a context manager.

    Args:
        console: Where to write; default: stderr.
    """

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(
            TextColumn("{task.description}"),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, name: str, done: int, total: int | None) -> None:
        """Show how far a file is."""
        if name not in self._tasks:
            if not self.console.is_terminal:
                self.console.print(f"Downloading {name}", markup=False)
            self._tasks[name] = self._display.add_task(name, total=total)
        self._display.update(self._tasks[name], completed=done, total=total)
