"""A folder that one process works in at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cigf.errors import OutputError

try:
    import fcntl
except ImportError:  # not a Unix: nothing watches over the folder there
    fcntl = None  # type: ignore[assignment]


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder; the system lets go of it when the process ends, however it ends.

    Raises:
        OutputError: Another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise OutputError(
                    f"{folder}: another process is at work in it; wait for it, or choose another "
                    "--out"
                ) from None
        yield
