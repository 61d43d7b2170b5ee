"""Atomic output: nothing half-written ever stands under the name that was asked for."""

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cigf.errors import OutputError


def refuse_existing(path: Path, force: bool) -> None:
    """Raise `OutputError` if `path` exists and may not be replaced."""
    if path.exists() and not force:
        raise OutputError(
            f"{path} exists already; choose another name or pass --force to replace it"
        )


@contextmanager
def explain_os_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or a missing permission into one clear `OutputError`."""
    try:
        yield
    except Exception as error:
        number = _error_number(error)
        if number in (errno.ENOSPC, errno.EDQUOT):
            raise OutputError(
                f"{path}: no space left on the device; nothing was written. "
                "Free some space or write elsewhere"
            ) from error
        if number in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise OutputError(f"{path}: may not be written ({os.strerror(number)})") from error
        raise


def _error_number(error: Exception) -> int | None:
    """Return the system's number of an error; Polars writes it into the text of its own ones."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    written = re.search(r"\(os error (\d+)\)", str(error))
    return None if written is None else int(written[1])


def real_folder(path: Path) -> Path:
    """Return the folder to write for `path`: a link stays, and what it leads to is replaced.

    Raises:
        OutputError: The folder that the program runs in is that one or lies in it.
    """
    folder = Path(os.path.realpath(path))
    if Path.cwd().is_relative_to(folder):
        raise OutputError(f"{path}: holds the folder that you are in; choose another name")
    return folder


@contextmanager
def new_folder(path: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield a temporary sibling folder that becomes `path` when the block succeeds.

    Args:
        path: The folder to create.
        force: Replace an existing folder or file of that name.

    Raises:
        OutputError: `path` exists and `force` is off or may never be replaced (`real_folder`), the
            disk is full, or writing is forbidden.
    """
    refuse_existing(path, force)
    folder = real_folder(path)
    with explain_os_errors(path):
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            temporary.chmod(0o755)  # mkdtemp makes it private to the user
            yield temporary
            _replace(temporary, folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


@contextmanager
def new_file(path: Path, *, force: bool = True) -> Iterator[Path]:
    """Yield a temporary sibling file name that becomes `path` when the block succeeds.

    Raises:
        OutputError: As `new_folder`.
    """
    refuse_existing(path, force)
    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix stays last, because writers choose their format by it.
        temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
        try:
            yield temporary
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a JSON file, whole or not at all."""
    with new_file(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _replace(temporary: Path, path: Path) -> None:
    """Move `temporary` to `path`; an old `path` is set aside first and removed last."""
    if not path.exists():
        temporary.rename(path)
        return
    aside = path.with_name(f".{path.name}.{os.getpid()}.old")
    path.rename(aside)
    temporary.rename(path)
    if aside.is_dir():
        shutil.rmtree(aside)
    else:
        aside.unlink()
