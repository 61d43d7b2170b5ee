"""The facts of the machine, also where the system does not tell them."""

import json

import numpy as np
import pytest

from cigf.data import environment as environment_module
from cigf.data.environment import _available_memory, _pages, _versions, environment


def test_environment(tmp_path):
    facts = environment(tmp_path)
    assert facts.n_cores >= 1
    assert facts.disk_free > 0
    assert facts.versions["numpy"] == np.__version__
    assert {"cigf", "torch", "polars", "matplotlib"} <= set(facts.versions)
    assert json.loads(json.dumps(facts.to_json()))["python"] == facts.python


def test_a_package_that_is_not_installed():
    assert _versions(["numpy", "no-such-package-here"])["no-such-package-here"] is None


def test_memory_where_the_system_says_it(tmp_path):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 8 kB\nMemAvailable:    3 kB\n")
    assert _available_memory(meminfo) == 3072


@pytest.mark.parametrize("text", [None, "MemTotal: 8 kB\n"])
def test_memory_where_the_system_does_not(tmp_path, text, monkeypatch):
    monkeypatch.setattr(environment_module, "_pages", lambda name: 17)
    if text is not None:
        (tmp_path / "meminfo").write_text(text)
    assert _available_memory(tmp_path / "meminfo") == 17


def test_pages():
    assert _pages("SC_PHYS_PAGES") > 1_000_000
    assert _pages("SC_NO_SUCH_NAME") is None


def test_cores_where_affinity_is_not_known(monkeypatch, tmp_path):
    monkeypatch.delattr(environment_module.os, "sched_getaffinity", raising=False)
    assert environment(tmp_path).n_cores >= 1
