"""Downloads over HTTP: resumed where they broke off, checked before they get their name."""

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha1, sha256
from pathlib import Path

from cigf.data.catalog import RemoteFile
from cigf.errors import DataError
from cigf.storage import explain_os_errors

CHUNK = 1 << 18
TIMEOUT = 30.0
"""Seconds without an answer until an attempt is given up."""
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers of a server that may be different the next time."""

Progress = Callable[[str, int, int | None], None]
"""Called with file name, bytes on disk, and all bytes (None: the server does not say)."""


class _Broken(Exception):
    """An attempt failed in a way that the next one may not."""


@dataclass(frozen=True)
class Retries:
    """How often to try again after a broken connection, and how to wait.

    Args:
        attempts: Attempts without any new byte before giving up.
        wait: Called with the seconds to wait, which double each time.
    """

    attempts: int = 4
    wait: Callable[[float], None] = time.sleep


def transfer(
    file: RemoteFile,
    path: Path,
    *,
    retries: Retries | None = None,
    progress: Progress | None = None,
) -> None:
    """Download one file to `path`; a part that an earlier call left there is completed.

    Until the file is whole and its checksum right, it is called `<path>.part`, and beside it stands
    which version of the server's file it is a part of: one that has changed, or whose version the
    server does not tell, is downloaded from its start. A file that stands under its name already,
    with the right checksum, is kept.

    Raises:
        DataError: The server refuses, the connection breaks too often, or the checksum is wrong.
        OutputError: The disk is full or may not be written.
    """
    if path.exists() and _checksum_error(file, path) is None:
        return
    part = path.with_name(path.name + ".part")
    with explain_os_errors(path):
        _complete(file, part, retries or Retries(), progress or (lambda *_: None))
        error = _checksum_error(file, part)
        if error is not None:
            _forget(part)
            raise DataError(
                f"{file.url}: {error}; the file there has changed or was damaged on the way, and "
                "was removed; try again, or look at the page of the data set"
            )
        part.replace(path)
        _version_file(part).unlink(missing_ok=True)


def _complete(file: RemoteFile, part: Path, retries: Retries, progress: Progress) -> None:
    failures = 0
    while True:
        before = _size(part)
        try:
            return _attempt(file, part, progress)
        except (_Broken, http.client.HTTPException) as error:
            failures = 1 if _size(part) > before else failures + 1
            if failures >= retries.attempts:
                raise _give_up(file, _size(part), error) from None
            retries.wait(2.0 ** (failures - 1))


def _give_up(file: RemoteFile, size: int, error: Exception) -> DataError:
    if size:
        return DataError(
            f"{file.url}: the download broke off after {size:,} bytes ({error}); "
            "run the same command again to go on from there"
        )
    return DataError(
        f"{file.url}: the server cannot be reached ({error}); check the connection, or get the "
        "file by hand and pass it with --from-file"
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _version_file(part: Path) -> Path:
    return part.with_name(part.name + ".version")


def _known_version(part: Path) -> str:
    """Return the version that a part is of; "" if it is not known."""
    kept = _version_file(part)
    return kept.read_text(encoding="utf-8") if kept.exists() else ""


def _forget(part: Path) -> None:
    part.unlink()
    _version_file(part).unlink(missing_ok=True)


def _attempt(file: RemoteFile, part: Path, progress: Progress) -> None:
    version = _known_version(part)
    start = _size(part) if version else 0
    headers = {"User-Agent": "cigf"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": version}
    request = urllib.request.Request(_checked_url(file.url), headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:  # is the answer too, which keeps its connection
            return _explain_refusal(file, error, part, start)
    except urllib.error.URLError as error:
        raise _Broken(str(error.reason)) from None
    except OSError as error:
        raise _Broken(str(error)) from None
    with response:
        _receive(file.name, response, part, start, progress)


def _checked_url(url: str) -> str:
    if not url.startswith(("https://", "http://")):
        raise DataError(f"{url}: only http and https addresses are downloaded")
    return url


def _explain_refusal(
    file: RemoteFile, error: urllib.error.HTTPError, part: Path, start: int
) -> None:
    """Return if the part is whole already; else raise what the refusal means."""
    if error.code == 416 and start:
        if error.headers.get("Content-Range") == f"bytes */{start}":
            return
        _forget(part)
        raise _Broken("the part on disk does not fit the file on the server") from None
    if error.code in RETRIED:
        raise _Broken(f"the server says {error.code} {error.reason}") from None
    raise DataError(
        f"{file.url}: the server says {error.code} {error.reason}; the file may have moved: "
        "get it by hand and pass it with --from-file"
    ) from None


def _receive(
    name: str, response: http.client.HTTPResponse, part: Path, start: int, progress: Progress
) -> None:
    resumed = response.status == 206 and _range_start(response) == start
    done = start if resumed else 0
    length = response.headers.get("Content-Length")
    total = done + int(length) if length is not None else None
    part.parent.mkdir(parents=True, exist_ok=True)
    with part.open("ab" if resumed else "wb") as out:
        if not resumed:  # nothing of the old part is left to be taken for one of this version
            _version_file(part).write_text(_version(response), encoding="utf-8")
        while chunk := _read(response):
            out.write(chunk)
            done += len(chunk)
            progress(name, done, total)
    if total is not None and done < total:
        raise _Broken(f"{total - done:,} of {total:,} bytes are missing")


def _version(response: http.client.HTTPResponse) -> str:
    """Return what tells this content from a later one for `If-Range`; "" if nothing does."""
    tag: str = response.headers.get("ETag", "")
    if tag and not tag.startswith("W/"):  # a weak tag does not speak of each byte
        return tag
    date: str = response.headers.get("Last-Modified", "")
    return date


def _read(response: http.client.HTTPResponse) -> bytes:
    """Return the next bytes; what fails here is the connection, not the disk."""
    try:
        return response.read(CHUNK)
    except OSError as error:
        raise _Broken(str(error)) from None


def _range_start(response: http.client.HTTPResponse) -> int:
    """Return where a partial answer starts; an answer that does not say counts as from 0."""
    content_range = response.headers.get("Content-Range", "bytes 0-")
    start = content_range.removeprefix("bytes ").partition("-")[0]
    return int(start) if start.isdigit() else 0


def _checksum_error(file: RemoteFile, path: Path) -> str | None:
    """Say how the content differs from what is known of it; None if it does not."""
    if file.checksum is None:
        return None
    kind, _, expected = file.checksum.partition(":")
    found = _digest(path, kind)
    if found == expected:
        return None
    return f"the checksum ({kind}) is {found}, it must be {expected}"


def _digest(path: Path, kind: str) -> str:
    # A git blob's id is the SHA-1 of a header with its length, then its content.
    digest = sha1(f"blob {_size(path)}\0".encode()) if kind == "git" else sha256()
    with path.open("rb") as content:
        while chunk := content.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
