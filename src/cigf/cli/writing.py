"""Tables to files, whole or piece by piece: Parquet, CSV and JSON Lines, or a folder of Parquet."""

import gzip
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from time import sleep
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

from cigf.errors import ConfigError, OutputError, did_you_mean
from cigf.storage import new_file, new_folder, refuse_existing

Frames = Iterator[pl.DataFrame]


def _write_parquet(frames: Frames, path: Path) -> None:
    first = next(frames)
    pieces = chain([first], frames)
    stopped: list[BaseException] = []

    def read(*_: Any) -> Frames:
        try:
            yield from pieces
        except (Exception, KeyboardInterrupt) as error:
            stopped.append(error)
            raise

    with path.open("wb") as file:
        try:
            register_io_source(read, schema=first.schema).sink_parquet(file, maintain_order=True)
        except KeyboardInterrupt:
            # Both Polars and Python report one Ctrl-C; the second would interrupt the cleaning up.
            with suppress(KeyboardInterrupt):
                sleep(0)
            raise
        except pl.exceptions.ComputeError:  # Polars 1's word for all that pieces raise
            if stopped:
                raise stopped[0] from None
            raise


def _write_csv(frames: Frames, path: Path) -> None:
    with path.open("wb") as file:
        for number, frame in enumerate(frames):
            frame.write_csv(file, include_header=number == 0)


def _write_gzip(frames: Frames, path: Path) -> None:
    # Without name and time of day in its header, so that equal tables give equal bytes.
    with path.open("wb") as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
        for number, frame in enumerate(frames):
            packed.write(frame.write_csv(include_header=number == 0).encode())


def _write_json_lines(frames: Frames, path: Path) -> None:
    with path.open("wb") as file:
        for frame in frames:
            frame.write_ndjson(file)


_WRITERS: dict[str, Callable[[Frames, Path], None]] = {
    ".parquet": _write_parquet,
    ".csv.gz": _write_gzip,
    ".csv": _write_csv,
    ".jsonl": _write_json_lines,
}


def check_output(path: Path, force: bool) -> None:
    """Refuse an output that exists or has an unknown ending, before any work is done.

    Raises:
        ConfigError: The ending is unknown.
        OutputError: The file exists and `force` is off, or it is a folder.
    """
    _ending(path)
    if path.is_dir():
        raise OutputError(f"{path} is a folder; choose another name for the file")
    refuse_existing(path, force)


def _ending(path: Path) -> str:
    for ending in _WRITERS:
        if path.name.endswith(ending):
            return ending
    raise ConfigError(
        f"--out {path}: unknown ending{did_you_mean(path.suffix, _WRITERS)} "
        f"(known: {', '.join(_WRITERS)})"
    )


def write_table(frame: pl.DataFrame, path: Path, force: bool) -> None:
    """Write a table in the format that the ending names."""
    write_pieces(iter([frame]), path, force)


def write_pieces(frames: Frames, path: Path, force: bool) -> None:
    """Write a table that comes in pieces, at least one, in the format that the ending names.

    No more than a few pieces are held at a time; the file appears when it is complete.

    Raises:
        ConfigError: The ending is unknown.
        OutputError: The file exists and `force` is off, or it cannot be written.
    """
    check_output(path, force)
    with new_file(path, force=force) as temporary:
        _WRITERS[_ending(path)](frames, temporary)


def write_parts(frames: Frames, sizes: Iterable[int], path: Path, force: bool) -> None:
    """Write a table that comes in pieces as a folder of Parquet files.

    Args:
        frames: The pieces, in the order of their rows.
        sizes: Rows of each file, all above 0; together those of the pieces.
        path: The folder; it appears when it is complete.
        force: Replace an existing one.

    Raises:
        OutputError: The folder exists and `force` is off, or it cannot be written.
    """
    rows = _Rows(frames)
    with new_folder(path, force=force) as temporary:
        for number, size in enumerate(sizes):
            _write_parquet(rows.take(size), temporary / f"part-{number:05d}.parquet")


class _Rows:
    """Rows of a table that comes in pieces, taken so many at a time."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._rest: pl.DataFrame | None = None

    def take(self, count: int) -> Frames:
        """Yield the next rows, piece by piece; to be used up before the next call."""
        while count:
            frame = next(self._frames) if self._rest is None else self._rest
            head = frame.head(count)
            count -= head.height
            self._rest = frame.slice(head.height) if head.height < frame.height else None
            yield head
