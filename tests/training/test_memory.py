"""What a step frees is there again for the next step, without page faults."""

import platform
import subprocess
import sys

import pytest

COUNT = """
import resource, torch
from cigf.training.memory import keep_freed_memory

def faults_of_steps():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        several = [torch.zeros(1 << 20) for _ in range(4)]
        del several
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = faults_of_steps()
keep_freed_memory()
faults_of_steps()
print(before, faults_of_steps())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these bounds")
def test_steps_cause_no_page_faults_once_freed_memory_is_kept():
    done = subprocess.run(
        [sys.executable, "-c", COUNT], capture_output=True, text=True, check=True, timeout=120
    )
    before, after = map(int, done.stdout.split())
    assert after < before / 10
