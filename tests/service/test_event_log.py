import json
import multiprocessing
import os
import signal
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cigf.errors import EventLogError
from cigf.service.event_log import Event, EventLog

A, B, C, D = (Event(f"u{n}", "a 'quoted\" \u00fc\n", "view", 1000 + n) for n in range(4))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9)
EVENTS = st.builds(Event, TEXT, TEXT, TEXT, st.integers(0, 2**53))


def write(path, *groups):
    log = EventLog(path)
    assert list(log.replay()) == []
    for group in groups:
        log.append(group)
    log.close()


def read(path):
    log = EventLog(path)
    try:
        return list(log.replay())
    finally:
        log.close()


@pytest.fixture
def no_waiting(monkeypatch):
    """Force nothing to the disk, where a test opens a log a thousand times."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def torn(path):
    return path.with_name("log.torn").read_bytes()


def test_what_was_appended_is_replayed(tmp_path):
    write(tmp_path / "log", [A, B], [C])
    assert read(tmp_path / "log") == [A, B, C]


def test_a_log_goes_on_where_it_ended(tmp_path):
    write(tmp_path / "log", [A])
    log = EventLog(tmp_path / "log")
    assert list(log.replay()) == [A]
    log.append([B, C])
    log.close()
    assert read(tmp_path / "log") == [A, B, C]


def test_a_log_is_a_table_of_events(tmp_path):
    write(tmp_path / "log", [A])
    (line,) = (tmp_path / "log").read_text().splitlines()
    values = json.loads(line)
    assert {
        "user_id": A.user,
        "item_id": A.item,
        "behavior": "view",
        "timestamp": 1000,
    }.items() <= (values.items())


@given(groups=st.lists(st.lists(EVENTS, min_size=1, max_size=3), min_size=1, max_size=4))
def test_any_ids_survive(tmp_path_factory, groups):
    path = tmp_path_factory.mktemp("log") / "log"
    write(path, *groups)
    assert read(path) == [event for group in groups for event in group]


def test_a_log_cut_anywhere_keeps_the_groups_before_the_cut(tmp_path, no_waiting):
    path = tmp_path / "log"
    write(path, [A, B], [C], [D])
    whole = path.read_bytes()
    ends = [0] + [n + 1 for n, _ in enumerate(whole) if whole[: n + 1].endswith(b'"end":1}\n')]
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        kept = sum(end <= length for end in ends[1:])
        assert read(path) == [A, B, C, D][: (0, 2, 3, 4)[kept]], length
        assert path.stat().st_size == ends[kept]


def test_after_a_torn_group_new_ones_are_read(tmp_path):
    path = tmp_path / "log"
    write(path, [A], [B, C])
    path.write_bytes(path.read_bytes()[:-5])
    log = EventLog(path)
    assert list(log.replay()) == [A]
    log.append([D])
    log.close()
    assert read(path) == [A, D]


def test_garbage_in_the_last_group_is_a_torn_group(tmp_path):
    path = tmp_path / "log"
    write(path, [A], [B, C])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\0" * 40 + b"\n" + lines[2])
    assert read(path) == [A]


@pytest.mark.parametrize("place", [3, 60])
def test_damage_before_the_last_group_is_refused(tmp_path, place):
    path = tmp_path / "log"
    write(path, [A], [B], [C])
    whole = bytearray(path.read_bytes())
    whole[place] ^= 1
    path.write_bytes(bytes(whole))
    with pytest.raises(EventLogError, match=r"log: damaged at byte 0, .*head -c 0 FILE"):
        read(path)
    assert path.read_bytes() == bytes(whole)


LINE = b'{"user_id":"u1","item_id":"i1","behavior":"view","timestamp":5}'


@pytest.mark.parametrize(
    "text",
    [
        LINE + b"\n" + LINE + b"\n",
        LINE,
        b'{"user": "u1", "item": "i1"}\n' * 3,
        b"user_id,item_id,behavior\nu1,i1,view\n",
        b"user_id,item_id",
        (LINE + b"\n").decode().encode("utf-16-le"),
        (LINE + b"\n").decode().encode("utf-16-be"),
        b"\n",
    ],
)
def test_a_file_of_another_program_is_refused_and_stays(tmp_path, text):
    path = tmp_path / "log"
    path.write_bytes(text)
    with pytest.raises(EventLogError, match="log: not an event log of this server"):
        read(path)
    assert path.read_bytes() == text
    assert not path.with_name("log.torn").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace(b"\n", b"\r\n"), "damaged at byte 0, line 1"),
        (lambda text: text.replace(b"}", b" }"), "damaged at byte 0, line 1"),
        (lambda text: b"\xef\xbb\xbf" + text, "damaged at byte 0, line 1"),
        (
            lambda text: b"".join(
                json.dumps(json.loads(line)).encode() + b"\n" for line in text.splitlines()
            ),
            "another program wrote it anew",
        ),
        (lambda text: text + text, "line 5, .* head -c [1-9]"),
        (lambda text: text + b"{}\n", "line 5, .* head -c [1-9]"),
        (lambda text: text[text.index(b"\n") + 1 :], "damaged at byte 0, line 1"),
    ],
)
def test_a_log_that_was_written_anew_is_refused_and_stays(tmp_path, change, message):
    path = tmp_path / "log"
    write(path, [A, B], [C], [D])
    text = change(path.read_bytes())
    path.write_bytes(text)
    with pytest.raises(EventLogError, match=message):
        read(path)
    assert path.read_bytes() == text


@pytest.mark.parametrize("bit", [0, 3, 6])
def test_a_flipped_bit_takes_no_event_that_was_acknowledged(tmp_path, no_waiting, bit):
    path = tmp_path / "log"
    write(path, [A, B], [C], [D, A])
    whole = path.read_bytes()
    last = whole.index(b'"end":1}\n', whole.index(b'"end":1}\n') + 1) + len(b'"end":1}\n')
    for place in range(len(whole)):
        text = bytearray(whole)
        text[place] ^= 1 << bit
        path.write_bytes(bytes(text))
        try:
            events = read(path)
        except EventLogError:
            assert path.read_bytes() == text
        else:
            assert place >= last
            assert events == [A, B, C]
            assert torn(path).endswith(text[last:])


def test_pages_of_the_last_group_that_were_not_written_tear_it(tmp_path, no_waiting):
    path = tmp_path / "log"
    write(path, [A], [B, C, D])
    whole = path.read_bytes()
    last = whole.index(b"\n") + 1
    for begin in range(last, len(whole) - 16, 7):
        for text in (
            whole[:begin] + bytes(20) + whole[begin + 20 :],
            whole[:begin] + bytes(len(whole) - begin),
            whole[:begin] + bytes(9),
            whole[:last] + bytes(begin - last + 1) + whole[begin + 1 :],
        ):
            path.write_bytes(text)
            assert read(path) == [A], begin
            assert path.read_bytes() == whole[:last]
            assert torn(path).endswith(text[last:])


def test_a_page_before_the_last_group_is_missed(tmp_path):
    path = tmp_path / "log"
    write(path, [A], [B, C], [D])
    whole = path.read_bytes()
    begin = whole.index(b"\n") + 20
    text = whole[:begin] + bytes(20) + whole[begin + 20 :]
    path.write_bytes(text)
    with pytest.raises(EventLogError, match="line 2"):
        read(path)
    assert path.read_bytes() == text


def test_what_is_torn_is_kept_beside_the_log(tmp_path):
    path = tmp_path / "log"
    write(path, [A])
    first = path.read_bytes()
    for _ in range(2):
        with path.open("ab") as file:
            file.write(first[:7])
        log = EventLog(path)
        assert list(log.replay()) == [A]
        assert log.n_torn == 7
        log.close()
    assert torn(path) == 2 * first[:7]
    assert read(path) == [A]
    assert path.with_name("log.torn").stat().st_mode & 0o007 == 0


def test_what_is_torn_stays_where_it_cannot_be_kept(tmp_path):
    path = tmp_path / "log"
    write(path, [A])
    text = path.read_bytes()[:-1]
    path.write_bytes(text)
    path.with_name("log.torn").mkdir()
    with pytest.raises(EventLogError, match=r"cannot be moved to .*log\.torn"):
        read(path)
    assert path.read_bytes() == text


def test_an_empty_file_is_a_log(tmp_path):
    (tmp_path / "log").touch()
    assert read(tmp_path / "log") == []
    assert not (tmp_path / "log.torn").exists()


def test_a_log_belongs_to_one_server(tmp_path):
    log = EventLog(tmp_path / "log")
    with pytest.raises(EventLogError, match="another server has it open"):
        EventLog(tmp_path / "log")
    log.close()
    EventLog(tmp_path / "log").close()


def test_a_folder_is_no_log(tmp_path):
    with pytest.raises(EventLogError, match="cannot be opened"):
        EventLog(tmp_path)


def test_a_full_disk_leaves_no_part_of_a_group(tmp_path, monkeypatch):
    path = tmp_path / "log"
    log = EventLog(path)
    list(log.replay())
    log.append([A])
    real = os.write

    def fails(descriptor, text):
        real(descriptor, text[:7])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", fails)
    with pytest.raises(EventLogError, match="No space left"):
        log.append([B])
    monkeypatch.undo()
    log.append([C])
    log.close()
    assert read(path) == [A, C]


def test_what_cannot_be_taken_back_is_taken_back_before_the_next_group(tmp_path, monkeypatch):
    path = tmp_path / "log"
    log = EventLog(path)
    list(log.replay())

    def fails(*arguments):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fails)
    monkeypatch.setattr(os, "ftruncate", fails)
    for _ in range(2):
        with pytest.raises(EventLogError, match="Input/output error"):
            log.append([A, B])
    monkeypatch.undo()
    log.append([C])
    log.close()
    assert read(path) == [C]


def acknowledge_forever(path, pipe):
    log = EventLog(path)
    list(log.replay())
    number = 0
    while True:
        log.append([Event(f"u{number + n}", "i", "view", number + n) for n in range(3)])
        number += 3
        os.write(pipe, b"3")


@pytest.mark.parametrize("seconds", [0.01, 0.05, 0.1])
def test_a_killed_writer_loses_nothing_acknowledged(tmp_path, seconds):
    reader, writer = os.pipe()
    spawn = multiprocessing.get_context("fork")
    process = spawn.Process(target=acknowledge_forever, args=(tmp_path / "log", writer))
    process.start()
    os.close(writer)
    os.read(reader, 1)
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    acknowledged = 1
    while text := os.read(reader, 4096):
        acknowledged += len(text)
    os.close(reader)
    assert [event.timestamp for event in read(tmp_path / "log")][: 3 * acknowledged] == list(
        range(3 * acknowledged)
    )
