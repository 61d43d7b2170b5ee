"""The server's process, asked over sockets."""

import json
import socket
import subprocess
import sys
import time
from urllib.request import urlopen

import pytest

from inference.inference_toys import random_history, write_artifact

HEADER = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


class Process:
    def __init__(self, folder, *options):
        command = [sys.executable, "-m", "cigf", "serve", str(folder), "--port", "0", *options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.url = json.loads(self.process.stderr.readline())["url"]
        with urlopen(f"{self.url}/healthz", timeout=30) as answer:
            assert answer.status == 200

    def connect(self):
        address = ("127.0.0.1", int(self.url.rpartition(":")[2]))
        return socket.create_connection(address, timeout=30)

    def end(self):
        self.process.terminate()
        told = self.process.communicate(timeout=60)[1]
        assert self.process.returncode == 0
        return [json.loads(line) for line in told.splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("server") / "shop"
    write_artifact(path, random_history())
    return path


def read(connection):
    """Return what comes until the other side closes."""
    found = b""
    while more := connection.recv(4096):
        found += more
    return found


def test_connections_without_a_header_are_closed(folder):
    server = Process(folder, "--limit", "keep_alive=1", "--quiet")
    begun = time.monotonic()
    with server.connect() as silent, server.connect() as half, server.connect() as after:
        half.sendall(HEADER)
        after.sendall(HEADER + b"\r\n" + HEADER)
        assert read(silent) == read(half) == b""
        assert read(after).count(b"HTTP/1.1 200") == 1
    assert time.monotonic() - begun > 0.5
    server.end()


def test_a_header_may_come_in_parts(folder):
    server = Process(folder, "--limit", "keep_alive=3", "--quiet")
    with server.connect() as connection:
        for part in (HEADER, b"\r\n", HEADER + b"\r\n" + HEADER, b"\r\n"):
            connection.sendall(part)
            time.sleep(0.2)
        assert read(connection).count(b"HTTP/1.1 200") == 3
    server.end()


def test_what_is_no_http_is_logged_as_json(folder):
    server = Process(folder, "--quiet")
    with server.connect() as connection:
        connection.sendall(b"\x16\x03\x01 no HTTP\r\n\r\n")
        assert read(connection).startswith(b"HTTP/1.1 400")
    told = server.end()
    assert [line["event"] for line in told] == ["http", "stopped"]
    assert "Invalid HTTP request" in told[0]["message"]


def test_the_url_of_an_address_of_ipv6_is_one(folder):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    server = Process(folder, "--host", "::1")
    assert server.url.startswith("http://[::1]:")
    server.end()
