"""EventLog: posted events on disk, in groups that are there whole or not at all.

One event per line, as JSON with the columns of an event log, so that the file is also one:

    {"user_id":"u1","item_id":"i7","behavior":"view","timestamp":1735689600000,"sum":"1f0c..."}

`sum` is a CRC-32 that goes on from the line above; the last line of a group says "end":1. A group
is written and forced to the disk before the next one begins, so only the last can be torn: a crash
cuts it off, or leaves zeros where pages of it never came to the disk. Then it is moved to another
file when the log is opened again. No event in it was acknowledged. Whatever else is not as it was
written is no doing of a crash, and nothing is taken from such a file.
"""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

from cigf.errors import EventLogError

_MORE, _END = b'"}\n', b'","end":1}\n'
"""How lines end within a group, and at its end."""

_MODE = 0o640
"""Who may read: events are of persons."""

_BEGIN, _SUM = b'{"user_id":"', b',"sum":"'
_LINE = re.compile(_BEGIN + rb'[ -\x7f]+","timestamp":\d+,"sum":"[0-9a-f]{8}"(,"end":1)?\}\n')
_TEXT = re.compile(rb"[ -\x7f]*\n?")
_HOLE = re.compile(rb"^\0+|\0{16,}|\0+\Z")
"""Where a page, or a disk's sector, was not written; its begin or end may be that of the group."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a user did; ids as text.

    Args:
        user: External id.
        item: External id.
        behavior: Name.
        timestamp: Milliseconds since 1970-01-01 UTC.
    """

    user: str
    item: str
    behavior: str
    timestamp: int


class EventLog:
    """An append-only file of events that one process writes.

    Args:
        path: The file; created where there is none.

    Raises:
        EventLogError: It is damaged, another process has it open, or it may not be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = _open(path)
        self._good, self._sum = 0, 0
        self._has_rest = False
        self.n_torn = 0
        """Bytes that `replay` moved to `torn`."""

    @property
    def torn(self) -> Path:
        """The file to which torn groups are moved."""
        return self.path.with_name(f"{self.path.name}.torn")

    def replay(self) -> Iterator[Event]:
        """Yield every event of the log, and move a torn group at its end to another file.

        Raises:
            EventLogError: A line is not as it was written, and no crash can have left it so; or
                what is torn cannot be moved. Nothing was changed.
        """
        group: list[Event] = []
        position, running = 0, 0
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                read = _read(line, running)
                if read is None:
                    lines.seek(position)
                    if not _is_torn(lines):
                        raise self._damaged(number, position, line)
                    break
                event, running, ends = read
                position += len(line)
                group.append(event)
                if ends:
                    yield from group
                    group, self._good, self._sum = [], position, running
        self._mend()

    def append(self, events: Sequence[Event]) -> None:
        """Write a group and force it to the disk; when this returns, it is safe.

        Raises:
            EventLogError: The disk is full or failed; nothing of the group is kept.
        """
        text, running = _group(events, self._sum)
        try:
            if self._has_rest:
                self._take_back()
            self._has_rest = True
            _write_all(self._file, text)
            os.fdatasync(self._file)
        except OSError as error:
            with suppress(OSError):  # else before the next group is written
                self._take_back()
            raise EventLogError(f"{self.path}: cannot be written ({error.strerror})") from error
        self._has_rest = False
        self._good += len(text)
        self._sum = running

    def close(self) -> None:
        """Close the file and let another process have it."""
        os.close(self._file)

    def _mend(self) -> None:
        self.n_torn = os.fstat(self._file).st_size - self._good
        if not self.n_torn:
            return
        try:
            with self.path.open("rb") as log, _open_to_append(self.torn) as torn:
                log.seek(self._good)
                shutil.copyfileobj(log, torn)
                torn.flush()
                os.fsync(torn.fileno())
            _sync_names(self.torn.parent)
            self._take_back()
        except OSError as error:
            raise EventLogError(
                f"{self.path}: what is torn at its end cannot be moved to {self.torn} "
                f"({error.strerror})"
            ) from error

    def _take_back(self) -> None:
        # What was written of a group must not stand before the next one.
        os.ftruncate(self._file, self._good)
        os.fsync(self._file)
        self._has_rest = False

    def _damaged(self, number: int, position: int, line: bytes) -> EventLogError:
        if number == 1 and _SUM not in line:
            return EventLogError(
                f"{self.path}: not an event log of this server, or another program wrote it anew: "
                "its first line is not as a server writes them; name another file, or restore it "
                "from a copy; nothing was changed"
            )
        return EventLogError(
            f"{self.path}: damaged at byte {position}, line {number}, which no crash does; restore "
            f"the file from a copy, or keep what is good: head -c {self._good} FILE > NEW; "
            "nothing was changed"
        )


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _MODE)
        _sync_names(path.parent)
    except OSError as error:
        raise EventLogError(f"{path}: cannot be opened ({error.strerror})") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise EventLogError(
            f"{path}: another server has it open; every server needs a log of its own"
        ) from None
    return file


def _open_to_append(path: Path) -> BinaryIO:
    return open(path, "ab", opener=lambda name, flags: os.open(name, flags, _MODE))


def _sync_names(folder: Path) -> None:
    """Force the names in a folder to the disk: that of a new file may else go with the power."""
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _group(events: Sequence[Event], running: int) -> tuple[bytes, int]:
    lines = []
    for number, event in enumerate(events, start=1):
        plain = json.dumps(
            {
                "user_id": event.user,
                "item_id": event.item,
                "behavior": event.behavior,
                "timestamp": event.timestamp,
            },
            separators=(",", ":"),
        ).encode()
        running = crc32(plain, running)
        end = _END if number == len(events) else _MORE
        lines.append(b'%b,"sum":"%08x%b' % (plain[:-1], running, end))
    return b"".join(lines), running


def _read(line: bytes, running: int) -> tuple[Event, int, bool] | None:
    """Return the event of a line, the sum after it and whether its group ends; None: damaged."""
    plain, mark, rest = line.rpartition(_SUM)
    if not mark or rest[8:] not in (_MORE, _END):
        return None
    running = crc32(plain + b"}", running)
    if rest[:8] != b"%08x" % running:
        return None
    values = json.loads(plain + b"}")
    event = Event(values["user_id"], values["item_id"], values["behavior"], values["timestamp"])
    return event, running, rest[8:] == _END


def _is_torn(lines: BinaryIO) -> bool:
    """Tell whether a crash can have left these lines: of one group, the first of them not whole."""
    is_first, is_over = True, False
    for line in lines:
        is_left = _has_hole(line) or _is_cut(line) or (not is_first and _LINE.fullmatch(line))
        if is_over or not is_left:
            return False
        is_first, is_over = False, line.endswith(_END)
    return True


def _has_hole(line: bytes) -> bool:
    """Tell whether zeros stand for a part of a line; none was written with a zero."""
    text = _HOLE.sub(b"", line)
    return text != line and _TEXT.fullmatch(text) is not None


def _is_cut(line: bytes) -> bool:
    """Tell whether a line began as it should and the file ends within it."""
    if line.endswith(b"\n") or not line.startswith(_BEGIN[: len(line)]):
        return False
    return _SUM in line or not line.endswith(b"}")  # else it is whole, and not of this server


def _write_all(descriptor: int, text: bytes) -> None:
    view = memoryview(text)
    while view:
        view = view[os.write(descriptor, view) :]
