"""How far training is: a live display on a terminal, one plain line per epoch elsewhere."""

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from cigf.training.events import EpochRecord, Listener


def duration(seconds: float) -> str:
    """Return seconds as 0:07, 12:34 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class TrainingProgress(Listener):
    """Shows epochs, losses, the selecting metric, speed and the time left; to be closed.

    Args:
        metric: The validation metric that selects the epoch.
        console: Where to write; default: stderr.

    Attributes:
        epoch: The last finished epoch.
    """

    def __init__(self, metric: str, console: Console | None = None) -> None:
        self.metric = metric
        self.console = console or Console(file=sys.stderr, highlight=False)
        self.epoch = 0
        self._display: Progress | None = None
        self._task = TaskID(0)
        self._began = 0.0
        self._first = self._n_epochs = self._n_steps = 0
        self._pairs = 0

    def close(self) -> None:
        """Take the display down; gives the cursor back, whatever happened."""
        if self._display is not None:
            self._display.stop()
            self._display = None

    def on_start(self, n_epochs: int, n_steps: int, epoch: int) -> None:
        """Open the display."""
        self.epoch = epoch
        self._first, self._n_epochs, self._n_steps = epoch, n_epochs, n_steps
        self._began = time.monotonic()
        if epoch:
            self.console.print(f"Resumed after epoch {epoch}", markup=False, highlight=False)
        if self.console.is_terminal:
            self._display = self._open(n_epochs * n_steps, epoch * n_steps)

    def _open(self, total: int, done: int) -> Progress:
        display = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[speed]}"),
            TimeElapsedColumn(),
            TextColumn("left {task.fields[left]}"),
            console=self.console,
            transient=True,
            expand=True,
        )
        self._task = display.add_task(
            "training", total=total, completed=done, epoch=self._place(1), speed="", left="?"
        )
        display.start()
        return display

    def _place(self, epoch: int) -> str:
        return f"{epoch:>{len(str(self._n_epochs))}}/{self._n_epochs}"

    def on_step(self, epoch: int, step: int, n_pairs: int) -> None:
        """Move the bar."""
        self._pairs += n_pairs
        if self._display is None:
            return
        done = (epoch - 1) * self._n_steps + step
        elapsed = max(time.monotonic() - self._began, 1e-9)
        self._display.update(
            self._task,
            completed=done,
            epoch=self._place(epoch),
            speed=f"{self._pairs / elapsed:,.0f} pairs/s" if self._pairs else "",
            left=duration(self._left(done)),
        )

    def _left(self, done: int) -> float:
        """Seconds until all epochs are done, at the speed so far, validation included."""
        mine = max(done - self._first * self._n_steps, 1)
        return (time.monotonic() - self._began) / mine * (self._n_epochs * self._n_steps - done)

    def on_epoch(self, record: EpochRecord) -> None:
        """Print the line of an epoch; on a terminal only of those that were validated."""
        self.epoch = record.epoch
        if self._display is None or record.metrics is not None:
            self.console.print(self._line(record), markup=False, highlight=False, soft_wrap=True)

    def _line(self, record: EpochRecord) -> str:
        parts = [f"epoch {self._place(record.epoch)}"]
        if record.losses:
            losses = ", ".join(f"{name} {loss:.4f}" for name, loss in record.losses.items())
            parts.append(f"loss {record.loss:.4f} ({losses})")
        if record.metrics is not None and self.metric in record.metrics:
            best = " best" if record.best else ""
            parts.append(f"{self.metric} {record.metrics[self.metric]:.4f}{best}")
        if record.pairs:
            parts.append(f"{record.pairs / max(record.seconds, 1e-9):,.0f} pairs/s")
        parts.append(f"left {duration(self._left(record.epoch * self._n_steps))}")
        return "  ".join(parts)

    def on_end(self, reason: str) -> None:
        """Close the display and say why training ended."""
        self.close()
        self.console.print(f"Training ended: {reason}", markup=False, highlight=False)
