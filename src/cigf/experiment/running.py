"""Running many cells: some at a time, as cores and memory allow, each until it ends."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from cigf.data.environment import memory_free
from cigf.experiment.cells import CellFolder, Outcome
from cigf.experiment.config import ExperimentConfig

_EXPECTED_MB = 1024.0
"""Memory of a cell of which nothing is known yet."""
_BETWEEN_LOOKS = 0.1
"""Seconds."""


@dataclass(frozen=True)
class Cell:
    """What is to be run.

    Args:
        row: Name of the row of the table that it belongs to.
        seed: Its seed.
        config: Everything else, the seed included.
        folder: Where.
    """

    row: str
    seed: int
    config: ExperimentConfig
    folder: CellFolder

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.row}, seed {self.seed}"


@runtime_checkable
class Running(Protocol):
    """A cell under way."""

    def poll(self) -> int | None:
        """Return the exit code; None while it runs."""
        ...

    def stop(self) -> None:
        """End it."""
        ...

    def close(self) -> None:
        """Let go of it, once it has ended."""
        ...


Start = Callable[[Cell], Running]
"""Begins a cell."""


class Watcher:
    """Hears how the cells do; every method does nothing unless a subclass says otherwise."""

    def on_plan(self, cells: Sequence[Cell]) -> None:
        """These cells make the whole; some may be finished already."""

    def on_start(self, cell: Cell) -> None:
        """A cell begins, or goes on."""

    def on_look(self, running: Sequence[Cell]) -> None:
        """These are under way."""

    def on_end(self, cell: Cell, outcome: Outcome) -> None:
        """A cell ended."""


def run_cells(
    cells: Sequence[Cell], start: Start, *, jobs: int = 1, watcher: Watcher | None = None
) -> None:
    """Run the cells that are not finished; whatever happens, none is left running.

    Args:
        cells: In the order in which they begin.
        start: How one begins.
        jobs: Most at a time.
        watcher: Hears how they do.
    """
    watcher = watcher or Watcher()
    watcher.on_plan(cells)
    waiting = [cell for cell in cells if not cell.folder.is_finished()]
    running: dict[int, tuple[Cell, Running]] = {}
    try:
        while waiting or running:
            under_way = [cell for cell, _ in running.values()]
            if waiting and len(running) < jobs and has_room(waiting[0], under_way, cells):
                cell = waiting.pop(0)
                cell.folder.reopen()
                watcher.on_start(cell)
                running[id(cell)] = cell, start(cell)
            else:
                time.sleep(_BETWEEN_LOOKS)
            _look(running, watcher)
    finally:
        for _, process in running.values():
            process.stop()


def _look(running: dict[int, tuple[Cell, Running]], watcher: Watcher) -> None:
    watcher.on_look([cell for cell, _ in running.values()])
    for key, (cell, process) in list(running.items()):
        code = process.poll()
        if code is None:
            continue
        del running[key]
        process.close()
        outcome = cell.folder.outcome()
        if outcome is None:
            outcome = Outcome("failed", cell.folder.failure(code))
            cell.folder.end(outcome)
        watcher.on_end(cell, outcome)


def has_room(
    cell: Cell,
    running: Sequence[Cell],
    cells: Iterable[Cell],
    free: Callable[[], int | None] = memory_free,
) -> bool:
    """Tell whether the memory suffices for one more cell; it does where nothing runs.

    A cell is expected to need what the largest one of its row needed, or else the largest of all;
    those under way may still grow to what is expected of them.

    Args:
        cell: What would begin.
        running: What is under way.
        cells: All of them, also the finished ones.
        free: Tells the bytes that can be had now.
    """
    available = free()
    if not running or available is None:
        return True
    peaks: dict[str, float] = {}
    for each in cells:
        peaks[each.row] = max(peaks.get(each.row, 0.0), each.folder.progress().peak_mb)

    def expected(row: str) -> float:
        return peaks.get(row) or max(peaks.values(), default=0.0) or _EXPECTED_MB

    growth = sum(max(0.0, expected(each.row) - each.folder.progress().peak_mb) for each in running)
    return (expected(cell.row) + growth) * 2**20 < available


def folder_of(out: Path, row: str, seed: int) -> CellFolder:
    """Return the folder of a cell."""
    return CellFolder(out / "cells" / row / f"seed-{seed}")
