"""What a step frees is there again for the next step, without page faults."""

import platform
import subprocess
import sys

import pytest

from cigf.training.memory import kept_memory

COUNT = """
import resource, torch
from cigf.training.memory import kept_memory

def faults_of_steps():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        several = [torch.zeros(size) for size in (1 << 20, 1 << 21, 10 << 20)]
        del several
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = faults_of_steps()
with kept_memory():
    faults_of_steps()
    kept = faults_of_steps()
print(before, kept, faults_of_steps())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these bounds")
def test_steps_cause_no_page_faults_while_freed_memory_is_kept():
    done = subprocess.run(
        [sys.executable, "-c", COUNT], capture_output=True, text=True, check=True, timeout=120
    )
    before, kept, after = map(int, done.stdout.split())
    assert kept < before / 10 < after


def test_where_the_c_library_has_no_name_nothing_is_kept(monkeypatch):
    def refuse(name):
        raise TypeError("argument of type 'NoneType' is not iterable")

    monkeypatch.setattr("ctypes.CDLL", refuse)
    with kept_memory():
        pass
