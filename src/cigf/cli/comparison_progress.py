"""How far a comparison is: a live table on a terminal, one plain line per event elsewhere."""

import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table

from cigf.cli.progress import duration
from cigf.experiment.cells import Outcome
from cigf.experiment.running import Cell, Watcher

_REFRESH = 1.0
"""Seconds between two drawings of the table."""


class ComparisonProgress(Watcher):
    """Shows what runs, what is done and what failed; to be closed.

    Args:
        console: Where to write; default: stderr.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(file=sys.stderr, highlight=False)
        self.n_done = self.n_cells = 0
        self._cells: Sequence[Cell] = ()
        self._outcomes: dict[str, dict[int, Outcome]] = {}
        self._running: Sequence[Cell] = ()
        self._live: Live | None = None
        self._began = self._drawn = time.monotonic()

    def close(self) -> None:
        """Leave the table as it is; gives the cursor back, whatever happened."""
        if self._live is not None:
            self._live.update(self.table(), refresh=True)
            self._live.stop()
            self._live = None

    def on_plan(self, cells: Sequence[Cell]) -> None:
        """Begin; says what is finished already."""
        self._cells, self.n_cells = cells, len(cells)
        for cell in cells:
            outcomes = self._outcomes.setdefault(cell.row, {})
            outcome = cell.folder.outcome()
            if outcome is not None and cell.folder.is_finished():
                outcomes[cell.seed] = outcome
        self.n_done = sum(map(len, self._outcomes.values()))
        if self.n_done:
            self._say(f"{self.n_done} of {self.n_cells} runs are finished already")
        if self.console.is_terminal and self.n_done < self.n_cells:
            self._live = Live(self.table(), console=self.console, auto_refresh=False)
            self._live.start()

    def on_start(self, cell: Cell) -> None:
        """Say that a run begins or goes on."""
        epoch = cell.folder.progress().epoch
        if self._live is None:
            self._say(f"{cell.name}: {f'goes on after epoch {epoch}' if epoch else 'started'}")

    def on_look(self, running: Sequence[Cell]) -> None:
        """Draw the table from time to time."""
        self._running = running
        now = time.monotonic()
        if self._live is not None and now - self._drawn > _REFRESH:
            self._drawn = now
            self._live.update(self.table(), refresh=True)

    def on_end(self, cell: Cell, outcome: Outcome) -> None:
        """Say how a run ended."""
        self._outcomes[cell.row][cell.seed] = outcome
        self.n_done = sum(map(len, self._outcomes.values()))
        if outcome.status == "failed":
            self._say(f"{cell.name}: failed: {outcome.error}")
        elif self._live is None:
            figures = ", ".join(f"{name} {value:.4f}" for name, value in outcome.figures.items())
            self._say(f"{cell.name}: {figures}; {_cost(outcome)} ({self.n_done}/{self.n_cells})")

    def _say(self, words: str) -> None:
        self.console.print(words, markup=False, highlight=False, soft_wrap=True)

    def table(self) -> Table:
        """Return the table as it stands."""
        title = f"{self.n_done} of {self.n_cells} runs, {duration(time.monotonic() - self._began)}"
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        table.add_column("model")
        for name in ("done", "now"):
            table.add_column(name)
        for name in ("hr@10/full", "ndcg@10/full", "hr@10/1+99", "ndcg@10/1+99", "s", "MB"):
            table.add_column(name, justify="right")
        for row in dict.fromkeys(cell.row for cell in self._cells):
            table.add_row(row, *self._state(row))
        return table

    def _state(self, row: str) -> list[str]:
        outcomes = self._outcomes[row]
        finished = [o for o in outcomes.values() if o.status == "finished"]
        n_cells = sum(cell.row == row for cell in self._cells)
        now = ", ".join(_place(cell) for cell in self._running if cell.row == row)
        n_failed = len(outcomes) - len(finished)
        if n_failed:
            now = f"{n_failed} failed{', ' if now else ''}{now}"
        names = ("hr@10/full", "ndcg@10/full", "hr@10/1+99", "ndcg@10/1+99")
        figures = [_mean([o.figures[name] for o in finished], ".4f") for name in names]
        seconds = _mean([o.seconds for o in finished], ".0f")
        peak = max([o.peak_mb or 0.0 for o in finished], default=0.0)
        return [
            f"{len(finished)}/{n_cells}",
            now,
            *figures,
            seconds,
            f"{peak:.0f}" if peak else "",
        ]


def _place(cell: Cell) -> str:
    progress = cell.folder.progress()
    where = f"epoch {progress.epoch}/{progress.n_epochs}" if progress.n_epochs else "starting"
    return f"seed {cell.seed}: {where}"


def _mean(values: Sequence[float], form: str) -> str:
    return format(sum(values) / len(values), form) if values else ""


def _cost(outcome: Outcome) -> str:
    peak = f", {outcome.peak_mb:.0f} MB" if outcome.peak_mb else ""
    return f"{outcome.seconds:.1f} s{peak}"
