"""Two ranks of one thread beside one process of two threads: speed, memory and losses.

On Taobao-15K, and on a made-up log of Taobao's size (147,894 users, 99,037 items, 7.66 million
events of four behaviors, four layers), which is kept in the work folder as `large`. The two take
turns, because a machine's speed drifts.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.common import CIGF, ROOT, Figure, Options, say

N_RANKS = 2
_PROGRAM = ["-m", "benchmarks.rank_steps"]
_TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(N_RANKS)]
_ROUNDS = 2
"""Turns of each."""
_STEPS, _LARGE_STEPS = 30, 15
_LARGE = ["--users", "147894", "--items", "99037", "--interactions", "7660000"]
_LARGE += ["--behaviors", "click,fav,cart,buy"]


def run(options: Options) -> list[Figure]:
    """Measure both."""
    large = large_dataset(options.work)
    cases: list[tuple[str, Path, int, list[str]]] = [
        ("Taobao-15K", options.dataset, _STEPS, []),
        ("Taobao's size", large, _LARGE_STEPS, ["model.n_layers=4"]),
    ]
    figures = []
    for name, dataset, steps, settings in cases:
        alone, ranks = [], []
        for turn in range(_ROUNDS):
            say(f"ranks: {name}, turn {turn + 1} of {_ROUNDS}")
            words = [str(dataset), str(steps), *settings]
            alone.append(_measured([*_PROGRAM, *words], threads=N_RANKS))
            with TemporaryDirectory() as logs:  # torchrun would leave a folder of its own behind
                launcher = [*_TORCHRUN, "--log-dir", logs]
                ranks.append(_measured([*launcher, *_PROGRAM, *words], threads=1))
        figures += compared(name, alone, ranks)
    return figures


def compared(name: str, alone: list[dict[str, Any]], ranks: list[dict[str, Any]]) -> list[Figure]:
    """Return the figures of both, and how the ranks compare."""
    steps = [[second for each in some for second in each["seconds"]] for some in (alone, ranks)]
    medians = [statistics.median(each) for each in steps]
    first, second = alone[0], ranks[0]
    losses = [
        abs(second["losses"][behavior] - loss) / abs(loss)
        for behavior, loss in first["losses"].items()
    ]
    return [
        Figure(f"{name}: step, one process", medians[0], "s", 4, tuple(steps[0])),
        Figure(f"{name}: step, ranks", medians[1], "s", 4, tuple(steps[1])),
        Figure(f"{name}: speed of ranks", medians[0] / medians[1], must=0.8, at_least=True),
        Figure(f"{name}: graph, one process", first["graph_mb"], "MB", 1),
        Figure(f"{name}: graph, each rank", second["graph_mb"], "MB", 1),
        Figure(f"{name}: share of the graph", second["graph_mb"] / first["graph_mb"], must=0.6),
        Figure(f"{name}: peak memory, one process", first["peak_mb"], "MB", 0),
        Figure(f"{name}: peak memory, each rank", second["peak_mb"], "MB", 0),
        Figure(f"{name}: difference of losses", max(losses), digits=8, must=1e-4),
    ]


def large_dataset(work: Path) -> Path:
    """Return the made-up dataset, making it where it is not there yet."""
    folder = work / "large"
    if not folder.exists():
        log = work / "large.parquet"
        for words in (
            ["generate", *_LARGE, "--out", str(log)],
            ["prepare", str(log), "--behaviors", "click,fav,cart,buy", "--out", str(folder)],
        ):
            say(f"ranks: cigf data {words[0]}")
            subprocess.run([*CIGF, "data", *words], check=True, stdout=subprocess.DEVNULL)
    return folder


def _measured(program: list[str], threads: int) -> dict[str, Any]:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, *program]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
