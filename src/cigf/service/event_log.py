"""EventLog: posted events on disk, in groups that are there whole or not at all.

One event per line, as JSON with the columns of an event log, so that the file is also one:

    {"user_id":"u1","item_id":"i7","behavior":"view","timestamp":1735689600000,"sum":"1f0c..."}

`sum` is a CRC-32 that goes on from the line above; the last line of a group says "end":1. A group
is written and forced to the disk before the next one begins, so only the last can be torn: its
lines are removed when the log is opened again. No event in it was acknowledged.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from cigf.errors import EventLogError

_MORE, _END = b'"}\n', b'","end":1}\n'
"""How lines end within a group, and at its end."""


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

    def replay(self) -> Iterator[Event]:
        """Yield every event of the log, and remove a torn group at its end.

        Raises:
            EventLogError: A line is damaged, and later groups are not.
        """
        group: list[Event] = []
        position, running = 0, 0
        with self.path.open("rb") as lines:
            for line in lines:
                read = _read(line, running)
                if read is None:
                    self._refuse_if_more_follows(position)
                    break
                event, running, ends = read
                position += len(line)
                group.append(event)
                if ends:
                    yield from group
                    group, self._good, self._sum = [], position, running
        self._take_back()

    def append(self, events: Sequence[Event]) -> None:
        """Write a group and force it to the disk; when this returns, it is safe.

        Raises:
            EventLogError: The disk is full or failed; nothing of the group is kept.
        """
        text, running = _group(events, self._sum)
        try:
            _write_all(self._file, text)
            os.fdatasync(self._file)
        except OSError as error:
            self._take_back()
            raise EventLogError(f"{self.path}: cannot be written ({error.strerror})") from error
        self._good += len(text)
        self._sum = running

    def close(self) -> None:
        """Close the file and let another process have it."""
        os.close(self._file)

    def _take_back(self) -> None:
        # What was written of a group must not stand before the next one.
        os.ftruncate(self._file, self._good)
        os.fsync(self._file)

    def _refuse_if_more_follows(self, position: int) -> None:
        """A group begins only when the one before it is safe, so two ends are no torn group."""
        with self.path.open("rb") as lines:
            lines.seek(position)
            ends = sum(line.endswith(_END) for line in lines)
        if ends > 1:
            raise EventLogError(
                f"{self.path}: damaged at byte {position}, before the end of the log; restore the "
                f"file from a copy, or keep what is good: head -c {self._good} FILE > NEW"
            )


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)  # else the name of a new file may be lost with the power
        os.close(folder)
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
    plain, mark, rest = line.rpartition(b',"sum":"')
    if not mark or rest[8:] not in (_MORE, _END):
        return None
    running = crc32(plain + b"}", running)
    if rest[:8] != b"%08x" % running:
        return None
    values = json.loads(plain + b"}")
    event = Event(values["user_id"], values["item_id"], values["behavior"], values["timestamp"])
    return event, running, rest[8:] == _END


def _write_all(descriptor: int, text: bytes) -> None:
    view = memoryview(text)
    while view:
        view = view[os.write(descriptor, view) :]
