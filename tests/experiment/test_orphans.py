import subprocess
import sys

PROGRAM = """
import time
from cigf.experiment.orphans import end_with_the_parent
end_with_the_parent()
print("ready", flush=True)
time.sleep(60)
"""


def test_a_process_ends_with_the_one_that_started_it():
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"ready\n"
    assert process.poll() is None
    process.stdin.close()  # as the system does when the other process is gone
    assert process.wait(timeout=30) == 1
    process.stdout.close()
