"""TensorBoard: the curves of a run for its viewer (the extra `track`).

Importing this module without the package tensorboard is refused, so that a run that cannot be
tracked never begins.
"""

from pathlib import Path

from cigf.errors import MissingExtraError
from cigf.training.events import EpochRecord, Listener

try:
    from torch.utils.tensorboard.writer import SummaryWriter
except ImportError:
    raise MissingExtraError("tensorboard", "track", "writing TensorBoard files") from None


class TensorBoard(Listener):
    """Writes every epoch as scalars whose step is the epoch.

    loss                 total, without the L2 term
    loss/BEHAVIOR        its parts
    learning_rate
    pairs_per_second     of training, validation not included
    valid/METRIC         where the epoch was validated

    `close` it, for instance by `contextlib.closing`: training may end before its end.

    Args:
        path: Folder of the event files; an earlier part of the same run is continued.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: SummaryWriter | None = None

    def on_start(self, n_epochs: int, n_steps: int, epoch: int) -> None:
        """Open a file; readers then drop what was written of epochs that are run again."""
        self._writer = SummaryWriter(self._path, purge_step=epoch + 1)

    def on_epoch(self, record: EpochRecord) -> None:
        """Write an epoch, at once: the run may be killed in the next one."""
        assert self._writer is not None
        for tag, value in scalars(record).items():
            self._writer.add_scalar(tag, value, record.epoch)
        self._writer.flush()

    def on_end(self, reason: str) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file, if one is open."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def scalars(record: EpochRecord) -> dict[str, float]:
    """Return the values of an epoch by tag; only metrics where nothing was learned in steps."""
    measured = {f"valid/{name}": value for name, value in (record.metrics or {}).items()}
    if not record.losses:
        return measured
    return {
        "loss": record.loss,
        **{f"loss/{name}": loss for name, loss in record.losses.items()},
        "learning_rate": record.learning_rate,
        "pairs_per_second": record.pairs / max(record.seconds, 1e-9),
        **measured,
    }
