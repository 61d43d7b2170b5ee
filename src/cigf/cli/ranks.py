"""Commands that torchrun starts several times, and the processes of which share their work."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cigf.errors import ArtifactError, ConfigError, QuietError

if TYPE_CHECKING:
    from cigf.distributed.exchange import Ranks

SHARED = ("train", "evaluate", "recommend")
"""Commands whose processes share the work."""

_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What every launcher of torch sets."""


@dataclass(frozen=True)
class Team:
    """The processes at work on a command.

    Args:
        ranks: How they talk; None: this process is alone.
        launcher: Names what started them, on each machine, joined by commas; "" where nothing did.
        restarted: Whether they were started again after one of them had ended.
    """

    ranks: "Ranks | None" = None
    launcher: str = ""
    restarted: bool = False

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.ranks is None or self.ranks.rank == 0

    def goes_on(self, run: Path) -> bool:
        """Tell whether a run is to be resumed because its processes were started again."""
        if self.ranks is None or not self.restarted:
            return False
        mine, theirs = (set((each or "").split(",")) for each in (self.launcher, _begun_by(run)))
        return self.ranks.any(self.leads and bool((mine & theirs) - {""}))


def launched() -> bool:
    """Whether torchrun, or something like it, started this process."""
    return all(name in os.environ for name in _VARIABLES)


def refuse_unshared(command: str | None) -> None:
    """Refuse a command whose processes would all do the same.

    Raises:
        ConfigError: Several processes were started for such a command.
        QuietError: The same, but the first of them says so.
    """
    if command not in SHARED and launched() and os.environ["WORLD_SIZE"] != "1":
        if os.environ["RANK"] != "0":
            raise QuietError(ConfigError.exit_code)
        raise ConfigError(
            f"cigf {command}: {os.environ['WORLD_SIZE']} processes were started for it, but only "
            f"those of {', '.join(SHARED)} share their work; start it without torchrun"
        )


@contextmanager
def team(device: str = "cpu") -> Iterator[Team]:
    """Join the processes that were started with this one, if any were.

    Args:
        device: What to compute on: "auto", "cpu" or "cuda".

    Raises:
        RankLostError: Another process has ended.
    """
    if not launched():
        yield Team()
        return
    from cigf.distributed.launch import Launch, open_ranks
    from cigf.experiment.devices import choose_device

    launch = Launch.of(os.environ)
    assert launch is not None
    with open_ranks(launch, choose_device(device)) as ranks:
        # A machine on which no process has failed counts no restart, and ranks may change places.
        launchers = sorted({each.decode() for each in ranks.everyone(launch.identity.encode())})
        yield Team(ranks, ",".join(launchers), ranks.any(launch.restarts > 0))


def _begun_by(run: Path) -> str | None:
    from cigf.experiment.folder import RunFolder

    try:
        found: str | None = RunFolder(run).read_info().get("launcher")
    except ArtifactError:
        return None
    return found
