"""Every exception of cigf: what is wrong, what was given, what is allowed, what to do.

The command line prints the message alone and exits with the class's `exit_code`
(2: the input or the call must change; 1: the work itself failed).
"""

from collections.abc import Iterable
from difflib import get_close_matches


class CigfError(Exception):
    """Base of all errors that cigf raises on purpose."""

    exit_code = 1


class DataError(CigfError):
    """An event log, a dataset folder or a published file is not what it should be."""

    exit_code = 2


class ConfigError(CigfError):
    """An option is unknown, misspelled, out of range or contradicts another."""

    exit_code = 2


class ArtifactError(CigfError):
    """A run, checkpoint or artifact folder cannot be read as one."""

    exit_code = 2


class OutputError(CigfError):
    """The result cannot be written: it exists already, or the disk is full."""

    exit_code = 2


class UnknownIdError(CigfError):
    """A user or item id is not in the dataset or model."""

    exit_code = 2


class MissingExtraError(CigfError):
    """An optional dependency is not installed."""

    exit_code = 2

    def __init__(self, package: str, extra: str | None, purpose: str) -> None:
        """Name the package; `extra` None: no extra of cigf holds it, so it is installed alone."""
        install = package if extra is None else f"'cigf[{extra}]'"
        super().__init__(
            f"{purpose} needs the package {package}, which is not installed; "
            f"install it with: pip install {install}"
        )


class EventLogError(CigfError):
    """A server's log of events cannot be used: damaged, in use, or it cannot be written."""

    exit_code = 2


class NotExplainableError(ConfigError):
    """The scores of a model are no sums of shares."""


class OverloadedError(CigfError):
    """A server has as much to do as it may take on."""


class StoppingError(CigfError):
    """A server was told to stop and takes nothing on any more."""


class DivergedError(CigfError):
    """Training produced a loss or weights that are not finite."""


class RankLostError(CigfError):
    """A rank of a run on several has ended, so that the others cannot go on."""

    def __init__(self, message: str, rank: int | None = None) -> None:
        """Name the rank, where it is known which."""
        super().__init__(message)
        self.rank = rank


class QuietError(CigfError):
    """This rank of a run on several ends, and another one prints why."""

    def __init__(self, exit_code: int) -> None:
        """End with an exit code."""
        super().__init__("another rank tells why")
        self.exit_code = exit_code


class InterruptedRunError(CigfError):
    """Training was stopped by the user; the last checkpoint is on disk."""

    exit_code = 130


_WRONG_PATHS = (
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)
"""What a path that was typed wrong leads to."""


def of_the_system(error: OSError) -> CigfError:
    """Return an error of the operating system as one of ours; exit code 2 for a wrong path."""
    where = f"{error.filename}: " if error.filename else ""
    found = CigfError(f"{where}{error.strerror or error}")
    found.exit_code = 2 if isinstance(error, _WRONG_PATHS) else 1
    return found


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean X?" for the closest known word, or "" if none is close."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
