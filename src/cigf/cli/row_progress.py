"""How many rows are done: a bar on a terminal, a plain line per tenth elsewhere."""

from collections.abc import Iterator

import polars as pl
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cigf.cli.display import Display


class RowProgress(Display):
    """Counts the rows of a table that passes piece by piece; a context manager.

    Args:
        total: Rows in all.
        console: Where to write; default: stderr.
    """

    def __init__(self, total: int, console: Console | None = None) -> None:
        super().__init__(
            TextColumn("{task.completed:,} of {task.total:,} events"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self.total = total
        self._done = 0
        self._task = self._display.add_task("", total=total)

    def watch(self, frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """Pass the pieces on, and show how far they are; of a single piece, nothing."""
        for frame in frames:
            before = self._tenth()
            self._done += frame.height
            self._display.update(self._task, completed=self._done)
            if not self.console.is_terminal and before < self._tenth() < 10:
                line = f"{self._done:,} of {self.total:,} events"
                self.console.print(line, markup=False, highlight=False)
            yield frame

    def _tenth(self) -> int:
        return 10 * self._done // self.total
