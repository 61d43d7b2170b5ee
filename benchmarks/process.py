"""Wall time, processor time and peak memory of a whole process.

Run as a program of its own, this file starts the command it is given and prints what the command
took. It stands in between because a process's peak memory begins with that of the process which
started it: a child of a benchmark that has loaded torch would never show less than its parent.
"""

import json
import os
import subprocess
import sys
import time


def measure(command: list[str]) -> dict[str, float]:
    """Run a command once.

    Returns:
        `seconds` (wall), `cpu_seconds` and `peak_mb` (resident).
    """
    launcher = [sys.executable, "-I", "-S", __file__, *command]
    done = subprocess.run(launcher, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
    taken: dict[str, float] = json.loads(done.stdout)
    return taken


def launch(command: list[str]) -> int:
    """Run a command, print what it took, and return its exit code."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    taken = {
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
    }
    print(json.dumps(taken))
    return process.returncode


if __name__ == "__main__":
    sys.exit(launch(sys.argv[1:]))
