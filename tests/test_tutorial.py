"""The tutorial runs as it stands, and the site's pages say what there is."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cigf.cli.main import app
from test_docs import ROOT, blocks, leaves, typed

TUTORIAL, COMMANDS = ROOT / "docs" / "tutorial.md", ROOT / "docs" / "commands.md"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.mark.skipif(os.name == "nt", reason="the server of the tutorial is for POSIX systems")
def test_the_tutorial_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    port = str(free_port())
    *steps, serve = (words for words in typed(TUTORIAL) if words[0] == "cigf")
    for _, *words in steps:
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, f"{shlex.join(words)}: {done.output}"
    serve = [port if word == "8080" else word for word in serve[1:]]
    # A machine with other work may take long to load what explains.
    patience = ["--limit", "timeout=300"]
    command = [sys.executable, "-m", "cigf", *serve, *patience, "--quiet"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert "ready" in server.stderr.readline()
            namespace = {}
            for block in blocks(TUTORIAL, "python"):
                code = block.replace("8080", port)
                exec(compile(code, "tutorial.md", "exec"), namespace)
        finally:
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=60)
    assert server.returncode == 0
    assert Path("discoveries.parquet").exists()


def test_the_page_of_commands_has_every_command():
    shown = {" ".join(words) for words in typed(COMMANDS)}
    for leaf in leaves():
        name = {"import-data": "import"}.get(leaf.name, leaf.name)
        assert any(re.match(rf"cigf (data )?{name}\b", line) for line in shown), name


def test_the_pages_that_the_navigation_names_are_there():
    nav = (ROOT / "docs" / ".nav.yml").read_text()
    for name in re.findall(r"[\w/-]+\.md", nav):
        assert (ROOT / "docs" / name).is_file(), name


def test_names_of_the_reference_exist():
    from importlib import import_module

    for name in re.findall(r"^::: ([\w.]+)$", (ROOT / "docs" / "reference.md").read_text(), re.M):
        module, _, last = name.rpartition(".")
        assert hasattr(import_module(module), last), name
