"""Fetching against a real server on this machine: resumed, checked, and imported."""

import http.client
import pickle
import ssl
import threading
import urllib.error
import urllib.request
import zipfile
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_matrix

from cigf.data import download
from cigf.data.catalog import Published, RemoteFile
from cigf.data.dataset_store import load_split
from cigf.data.download import fetch
from cigf.data.imports import ImportOptions
from cigf.data.transfer import Retries, transfer
from cigf.errors import DataError, OutputError

CONTENT = np.random.default_rng(0).bytes(1_000_003)


def version_of(content):
    return f'"{sha256(content).hexdigest()}"'


def leave_part(path, content, of=CONTENT):
    """Leave what an interrupted download of a file leaves."""
    path.with_name(path.name + ".part").write_bytes(content)
    path.with_name(path.name + ".part.version").write_text(version_of(of))


class Shelf(ThreadingHTTPServer):
    """A server of some files that can be told to misbehave.

    Attributes:
        files: Path to content.
        break_after: Bytes after which each of the next answers breaks off, one entry per answer.
        answers: Status codes to give instead of the next answers.
        ranges: Whether range requests are understood.
        says_length: Whether answers carry their length.
        says_version: The header that tells the version of a file; None: none does.
        log: (path, Range header) of each request.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.break_after, self.answers, self.log = {}, [], [], []
        self.ranges = self.says_length = True
        self.says_version = "ETag"

    def url(self, name):
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        shelf = self.server
        wanted = self.headers.get("Range")
        shelf.log.append((self.path, wanted))
        if shelf.answers:
            return self.send_error(shelf.answers.pop(0))
        content = shelf.files.get(self.path.lstrip("/"))
        if content is None:
            return self.send_error(404)
        known = shelf.ranges and self.headers.get("If-Range") in (None, version_of(content))
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and known else 0
        if start >= len(content) > 0 and start:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return None
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if shelf.says_length:
            self.send_header("Content-Length", str(len(content) - start))
        if shelf.says_version:
            self.send_header(shelf.says_version, version_of(content))
        self.end_headers()
        end = start + shelf.break_after.pop(0) if shelf.break_after else len(content)
        self.wfile.write(content[start:end])
        return None

    def log_message(self, *args):
        pass


@pytest.fixture
def shelf():
    with Shelf() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def waits():
    return []


@pytest.fixture
def retries(waits):
    return Retries(attempts=3, wait=waits.append)


def git_checksum(content):
    return "git:" + sha1(b"blob %d\0" % len(content) + content).hexdigest()


@pytest.mark.parametrize(
    "checksum", [None, git_checksum(CONTENT), "sha256:" + sha256(CONTENT).hexdigest()]
)
def test_download(shelf, tmp_path, checksum):
    shelf.files["data"] = CONTENT
    seen = []
    file = RemoteFile("data", shelf.url("data"), checksum)
    transfer(file, tmp_path / "deep" / "data", progress=lambda *state: seen.append(state))
    assert (tmp_path / "deep" / "data").read_bytes() == CONTENT
    assert seen[-1] == ("data", len(CONTENT), len(CONTENT))
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["data"]


def test_git_checksum_is_the_one_git_gives():
    # The id that every git repository gives to an empty file.
    assert git_checksum(b"") == "git:e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


def test_a_broken_connection_is_taken_up_where_it_broke(shelf, tmp_path, retries, waits):
    shelf.files["data"] = CONTENT
    shelf.break_after = [300_000, 200_000]
    transfer(
        RemoteFile("data", shelf.url("data"), git_checksum(CONTENT)),
        tmp_path / "data",
        retries=retries,
    )
    assert (tmp_path / "data").read_bytes() == CONTENT
    assert [wanted for _, wanted in shelf.log] == [None, "bytes=300000-", "bytes=500000-"]
    assert waits == [1.0, 1.0]  # each attempt brought something, so patience starts again


def test_an_interrupted_call_is_taken_up_by_the_next(shelf, tmp_path, retries):
    shelf.files["data"] = CONTENT
    leave_part(tmp_path / "data", CONTENT[:700_001])
    transfer(RemoteFile("data", shelf.url("data")), tmp_path / "data", retries=retries)
    assert (tmp_path / "data").read_bytes() == CONTENT
    assert shelf.log == [("/data", "bytes=700001-")]


@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
def test_the_part_of_another_version_is_not_taken_up(shelf, tmp_path, header):
    shelf.files["data"], shelf.says_version = CONTENT, header
    shelf.break_after = [600_000]
    once = Retries(attempts=1)
    with pytest.raises(DataError, match="broke off"):
        transfer(RemoteFile("data", shelf.url("data")), tmp_path / "data", retries=once)
    shelf.files["data"] = changed = CONTENT[::-1]
    transfer(RemoteFile("data", shelf.url("data")), tmp_path / "data", retries=once)
    assert (tmp_path / "data").read_bytes() == changed
    assert shelf.log == [("/data", None), ("/data", "bytes=600000-")]
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


def test_a_part_of_no_known_version_is_not_taken_up(shelf, tmp_path, retries):
    shelf.files["data"], shelf.says_version = CONTENT, None
    (tmp_path / "data.part").write_bytes(b"x" * 1000)
    shelf.break_after = [600_000]
    transfer(RemoteFile("data", shelf.url("data")), tmp_path / "data", retries=retries)
    assert (tmp_path / "data").read_bytes() == CONTENT
    assert shelf.log == [("/data", None), ("/data", None)]


def test_a_weak_tag_does_not_tell_the_version(shelf, tmp_path, monkeypatch):
    shelf.files["data"] = CONTENT
    shelf.break_after = [600_000]
    monkeypatch.setattr(f"{__name__}.version_of", lambda content: 'W/"1"')
    transfer(RemoteFile("data", shelf.url("data")), tmp_path / "data", retries=Retries(2, print))
    assert (tmp_path / "data").read_bytes() == CONTENT
    assert shelf.log == [("/data", None), ("/data", None)]


@pytest.mark.parametrize(
    "error", [ssl.SSLError(1, "[SSL] bad record mac"), OSError(113, "No route to host")]
)
def test_what_breaks_while_reading_is_a_broken_connection(
    shelf, tmp_path, monkeypatch, retries, waits, error
):
    shelf.files = {"data": CONTENT, "other": CONTENT}
    read, errors = http.client.HTTPResponse.read, [error]

    def failing(response, amount):
        if errors:
            raise errors.pop()
        return read(response, amount)

    monkeypatch.setattr(http.client.HTTPResponse, "read", failing)
    transfer(RemoteFile("data", shelf.url("data")), tmp_path / "data", retries=retries)
    assert (tmp_path / "data").read_bytes() == CONTENT
    assert waits == [1.0]
    errors += [error] * 3
    with pytest.raises(DataError, match=r"other: the server cannot be reached .*(mac|route)"):
        transfer(RemoteFile("other", shelf.url("other")), tmp_path / "other", retries=retries)


def test_a_part_that_is_whole_is_not_downloaded_again(shelf, tmp_path, retries):
    shelf.files["data"] = CONTENT
    leave_part(tmp_path / "data", CONTENT)
    file = RemoteFile("data", shelf.url("data"), git_checksum(CONTENT))
    transfer(file, tmp_path / "data", retries=retries)
    assert (tmp_path / "data").read_bytes() == CONTENT


def test_a_part_that_is_too_long_is_thrown_away(shelf, tmp_path, retries, waits):
    shelf.files["data"] = CONTENT
    leave_part(tmp_path / "data", CONTENT + b"more")
    transfer(RemoteFile("data", shelf.url("data")), tmp_path / "data", retries=retries)
    assert (tmp_path / "data").read_bytes() == CONTENT
    assert waits == [1.0]


def test_a_server_without_ranges_sends_all_again(shelf, tmp_path, retries):
    shelf.files["data"] = CONTENT
    shelf.ranges = False
    leave_part(tmp_path / "data", b"x" * 1000)
    transfer(RemoteFile("data", shelf.url("data")), tmp_path / "data", retries=retries)
    assert (tmp_path / "data").read_bytes() == CONTENT


def test_a_server_that_does_not_say_the_length(shelf, tmp_path):
    shelf.files["data"] = CONTENT
    shelf.says_length = False
    seen = []
    file = RemoteFile("data", shelf.url("data"))
    transfer(file, tmp_path / "data", progress=lambda *state: seen.append(state))
    assert (tmp_path / "data").read_bytes() == CONTENT
    assert seen[-1] == ("data", len(CONTENT), None)


def test_a_busy_server_is_asked_again(shelf, tmp_path, retries, waits):
    shelf.files["data"] = CONTENT
    shelf.answers = [503, 429]
    transfer(RemoteFile("data", shelf.url("data")), tmp_path / "data", retries=retries)
    assert (tmp_path / "data").read_bytes() == CONTENT
    assert waits == [1.0, 2.0]


def test_giving_up_keeps_the_part(shelf, tmp_path, retries, waits):
    shelf.files["data"] = CONTENT
    shelf.break_after = [1000, 0, 0, 0]
    file = RemoteFile("data", shelf.url("data"))
    with pytest.raises(
        DataError, match=r"broke off after 1,000 bytes .*run the same command again"
    ):
        transfer(file, tmp_path / "data", retries=retries)
    assert (tmp_path / "data.part").read_bytes() == CONTENT[:1000]
    assert not (tmp_path / "data").exists()
    shelf.break_after = []
    transfer(file, tmp_path / "data", retries=retries)
    assert (tmp_path / "data").read_bytes() == CONTENT


def test_no_server(tmp_path, retries, waits):
    with Shelf() as gone:
        url = gone.url("data")
    with pytest.raises(DataError, match=r"cannot be reached .*refused.*--from-file"):
        transfer(RemoteFile("data", url), tmp_path / "deep" / "data", retries=retries)
    assert waits == [1.0, 2.0]
    assert list(tmp_path.iterdir()) == []


def test_missing_on_the_server(shelf, tmp_path, retries, waits):
    with pytest.raises(DataError, match=r"404 Not Found; the file may have moved.*--from-file"):
        transfer(RemoteFile("data", shelf.url("data")), tmp_path / "data", retries=retries)
    assert waits == []
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_is_closed(shelf, tmp_path, monkeypatch):
    refusals, urlopen = [], urllib.request.urlopen

    def opened(*args, **options):
        try:
            return urlopen(*args, **options)
        except urllib.error.HTTPError as error:
            refusals.append(error)
            raise

    monkeypatch.setattr(urllib.request, "urlopen", opened)
    with pytest.raises(DataError, match="404"):
        transfer(RemoteFile("data", shelf.url("data")), tmp_path / "data")
    (refusal,) = refusals
    assert refusal.closed


def test_wrong_checksum_leaves_nothing(shelf, tmp_path, retries):
    shelf.files["data"] = CONTENT
    file = RemoteFile("data", shelf.url("data"), git_checksum(b"another"))
    with pytest.raises(DataError, match=r"checksum \(git\) is [0-9a-f]{40}, it must be"):
        transfer(file, tmp_path / "data", retries=retries)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_kept(shelf, tmp_path):
    (tmp_path / "data").write_bytes(CONTENT)
    transfer(RemoteFile("data", shelf.url("data"), git_checksum(CONTENT)), tmp_path / "data")
    assert shelf.log == []


def test_a_damaged_file_that_is_there_is_replaced(shelf, tmp_path):
    shelf.files["data"] = CONTENT
    (tmp_path / "data").write_bytes(b"old")
    transfer(RemoteFile("data", shelf.url("data"), git_checksum(CONTENT)), tmp_path / "data")
    assert (tmp_path / "data").read_bytes() == CONTENT


def test_other_schemes_are_refused(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("x")
    with pytest.raises(DataError, match="only http and https"):
        transfer(RemoteFile("data", f"file://{secret}"), tmp_path / "data")


def published(shelf, **wrong):
    """Put a small release on the shelf; return its catalog entry."""
    matrix = csr_matrix(([1] * 5, ([0, 0, 1, 2, 2], [0, 1, 1, 2, 0])), shape=(3, 5))
    shelf.files |= {
        "trn_pv": pickle.dumps(matrix, protocol=3),
        "trn_buy": pickle.dumps(matrix, protocol=3),
        # Item 4 is in no matrix: a test pair that cannot be used.
        "tst_int": pickle.dumps([2, 4, 1], protocol=3),
    }
    checksums = {name: git_checksum(content) for name, content in shelf.files.items()} | wrong
    files = tuple(RemoteFile(n, shelf.url(n), checksums[n]) for n in shelf.files)
    return Published("toy", "", "mbgmn", ("pv", "buy"), "a page", "terms", files)


@contextmanager
def in_catalog(monkeypatch, entry):
    with monkeypatch.context() as patch:
        patch.setattr(download, "find_published", lambda name: entry)
        yield


def test_fetch_writes_a_dataset_and_clears_up(shelf, tmp_path, monkeypatch):
    with in_catalog(monkeypatch, published(shelf)):
        report = fetch("toy", tmp_path / "toy")
        with pytest.raises(OutputError, match="exists already"):
            fetch("toy", tmp_path / "toy")
    assert report.n_test == {"buy": 2}
    assert sum(report.dropped.values()) == 1
    assert load_split(tmp_path / "toy").train.behaviors.names == ("pv", "buy")
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


def test_fetch_keeps_what_it_has_when_something_is_wrong(shelf, tmp_path, monkeypatch):
    with in_catalog(monkeypatch, published(shelf)):
        del shelf.files["tst_int"]
        with pytest.raises(DataError, match="404"):
            fetch("toy", tmp_path / "toy")
        kept = sorted(path.name for path in (tmp_path / "toy.download" / "toy").iterdir())
        assert kept == ["trn_buy", "trn_pv"]
        assert not (tmp_path / "toy").exists()


def test_what_is_left_of_one_data_set_is_not_taken_for_another(shelf, tmp_path, monkeypatch):
    entry = published(shelf)
    files = dict(shelf.files)
    shelf.files["trn_pv"] = pickle.dumps(csr_matrix((7, 11)), protocol=3)
    del shelf.files["tst_int"]
    unchecked = [replace(file, checksum=None) for file in entry.files]
    with in_catalog(monkeypatch, replace(entry, files=tuple(unchecked))):
        with pytest.raises(DataError, match="404"):
            fetch("another", tmp_path / "out")
        shelf.files |= files
        report = fetch("toy", tmp_path / "out")
    assert report.n_test == {"buy": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_fetch_can_be_strict(shelf, tmp_path, monkeypatch):
    with (
        in_catalog(monkeypatch, published(shelf)),
        pytest.raises(DataError, match="1 items are not in training"),
    ):
        fetch("toy", tmp_path / "toy", options=ImportOptions(on_error="fail"))


def test_fetch_from_a_folder(shelf, tmp_path, monkeypatch):
    entry = published(shelf)
    folder = tmp_path / "by-hand"
    folder.mkdir()
    for name, content in shelf.files.items():
        (folder / name).write_bytes(content)
    with in_catalog(monkeypatch, entry):
        fetch("toy", tmp_path / "toy", from_file=folder)
    assert shelf.log == []
    assert folder.is_dir()


TAOBAO = (
    "1,11,7,pv,1511544070\n1,11,7,buy,1511544071\n1,13,7,fav,1511544072\n"
    "2,11,7,cart,1511544073\n2,13,7,buy,1511544074\n1,17,7,buy,1511544075\n"
    "2,11,7,buy,1511544076\n2,17,7,pv,1511544077\n"
)
IJCAI15 = (
    "user_id,item_id,cat_id,seller_id,brand_id,time_stamp,action_type\n"
    "1,11,7,5,3,829,0\n1,11,7,5,3,1111,2\n1,13,7,5,3,901,3\n2,11,7,5,3,511,1\n"
    "2,13,7,5,3,1001,2\n1,17,7,5,,1110,2\n2,11,7,5,3,1002,2\n"
)


@pytest.mark.parametrize(("name", "text"), [("taobao", TAOBAO), ("ijcai15", IJCAI15)])
@pytest.mark.parametrize("packed", [False, True])
def test_tianchi_logs(tmp_path, name, text, packed):
    member = {"taobao": "UserBehavior.csv", "ijcai15": "data_format1/user_log_format1.csv"}[name]
    source = tmp_path / ("log.zip" if packed else "log.csv")
    if packed:
        with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(member, text)
            archive.writestr("data_format1/other.csv", "a,b\n")
    else:
        source.write_text(text)
    report = fetch(name, tmp_path / "out", from_file=source)
    assert report.n_users == 2
    assert report.n_items == 3
    assert report.n_test == {"buy": 2}
    split = load_split(tmp_path / "out")
    assert split.train.behaviors.names == ("view", "fav", "cart", "buy")
    assert {path.name for path in tmp_path.iterdir()} == {source.name, "out"}
    times = split.train.times[split.train.behaviors.index("cart")]
    expected = {"taobao": 1_511_544_073_000, "ijcai15": "2014-05-11"}[name]
    assert times.tolist() == [np.datetime64(expected, "ms").astype(np.int64)]


def test_an_archive_that_is_unpacked_already(tmp_path):
    folder = tmp_path / "data_format1"
    folder.mkdir()
    (folder / "user_info_format1.csv").write_text("user_id,age_range,gender\n1,3,0\n")
    with pytest.raises(DataError, match=r"no user_log_format1\.csv in this folder"):
        fetch("ijcai15", tmp_path / "out", from_file=folder)
    (folder / "user_log_format1.csv").write_text(IJCAI15)
    for number, source in enumerate([folder, tmp_path]):
        report = fetch("ijcai15", tmp_path / f"out{number}", from_file=source)
        assert report.n_test == {"buy": 2}


def test_days_that_do_not_exist_are_left_out_and_counted(tmp_path):
    source = tmp_path / "user_log_format1.csv"
    source.write_text(IJCAI15 + "2,17,7,5,3,1399,0\n2,17,7,5,3,,0\n2,17,7,5,3,1001,9\n")
    report = fetch("ijcai15", tmp_path / "out", from_file=source)
    assert report.n_events == 7
    assert sum(report.dropped.values()) == 3


@pytest.mark.parametrize("name", ["taobao", "ijcai15"])
def test_login_needed(tmp_path, name):
    with pytest.raises(DataError, match=r"behind a login; get .*zip from https://tianchi"):
        fetch(name, tmp_path / "out")


def test_a_given_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        fetch("taobao", tmp_path / "out", from_file=tmp_path / "missing.zip")


def test_an_archive_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme.txt", "no data")
    with pytest.raises(DataError, match=r"no UserBehavior\.csv in this archive"):
        fetch("taobao", tmp_path / "out", from_file=tmp_path / "a.zip")


def test_a_damaged_archive(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("UserBehavior.csv", TAOBAO * 50)
    content = bytearray(path.read_bytes())
    content[60:90] = b"x" * 30
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged archive"):
        fetch("taobao", tmp_path / "out", from_file=path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n"])
def test_another_csv_is_not_the_ijcai_log(tmp_path, text):
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(DataError, match="not the log of IJCAI-15"):
        fetch("ijcai15", tmp_path / "out", from_file=tmp_path / "log.csv")


def test_chosen_behaviors_of_a_log(tmp_path):
    (tmp_path / "log.csv").write_text(TAOBAO)
    options = ImportOptions(behaviors=("view", "buy"))
    fetch("taobao", tmp_path / "out", from_file=tmp_path / "log.csv", options=options)
    assert load_split(tmp_path / "out").train.behaviors.names == ("view", "buy")


@pytest.mark.parametrize("name", ["log.csv", "log[1].csv"])
def test_frame_of_the_ijcai_log_reads_days(tmp_path, name):
    (tmp_path / name).write_text(IJCAI15)
    interactions = download._read_ijcai15(
        tmp_path / name, ImportOptions(behaviors=("view", "fav", "cart", "buy"))
    )
    first = interactions.events.select(pl.from_epoch("timestamp", time_unit="ms").dt.date())
    assert str(first.item(0, 0)) == "2014-08-29"
