"""Time and peak memory of `cigf data prepare` on Taobao-15K, the whole process, and of loading.

Run: python benchmarks/bench_prepare.py [--data FOLDER] [--repeats 5] [--json]
The folder is CIGF_DATA, or ../shared/data beside the checkout; it holds taobao15k/.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cigf.data.dataset_store import load_split

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"
EXPECTED = {"view": 873_954, "cart": 195_476, "buy": 92_180}


def measure(command: list[str]) -> dict[str, float]:
    """Run a process once: wall and processor seconds, and its peak resident memory."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}")
    return {
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
    }


def measure_load(folder: Path) -> float:
    start = time.perf_counter()
    split = load_split(folder)
    seconds = time.perf_counter() - start
    kept = zip(EXPECTED, split.train.interactions, split.withheld, strict=True)
    assert {name: seen.nnz + held.nnz for name, seen, held in kept} == EXPECTED
    return seconds


def run(data: Path, repeats: int) -> dict[str, float]:
    taobao = data / "taobao15k"
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "dataset"
        command = [sys.executable, "-m", "cigf", "data", "prepare"]
        command += [str(taobao / "events.csv.gz"), "--test", str(taobao / "test.csv")]
        command += ["--behaviors", "view,cart,buy", "--out", str(out), "--force"]
        runs = [measure(command) for _ in range(repeats)]
        loads = [measure_load(out) for _ in range(repeats)]
    medians = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    return medians | {"load_ms": statistics.median(loads) * 1000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CIGF_DATA", BESIDE)))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not (options.data / "taobao15k").is_dir():
        raise SystemExit(f"{options.data}: holds no taobao15k; name the data folder with --data")
    found = run(options.data, options.repeats)
    if options.json:
        print(json.dumps(found))
        return
    print(f"data prepare, 1,161,610 events (.csv.gz), median of {options.repeats}")
    print(f"  wall      {found['seconds']:6.2f} s   (must: 4 s)")
    print(f"  processor {found['cpu_seconds']:6.2f} s")
    print(f"  memory    {found['peak_mb']:6.0f} MB at its peak")
    print(f"  load      {found['load_ms']:6.1f} ms")


if __name__ == "__main__":
    main()
