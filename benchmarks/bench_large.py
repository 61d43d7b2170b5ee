"""A log of IJCAI's size: `cigf data generate` and `cigf data prepare`, whole processes.

423,423 users, 874,328 items, 36.2 million events of four behaviors, as one folder of Parquet files;
prepared with the default options. What is there already in the work folder is made again.
"""

import json

from benchmarks.common import CIGF, Figure, Options, median_of
from benchmarks.process import measure
from cigf.data.dataset_store import MANIFEST

N_EVENTS = 36_200_000
BEHAVIORS = "click,fav,cart,buy"
SIZES = ("--users", "423423", "--items", "874328", "--interactions", str(N_EVENTS))


def run(options: Options) -> list[Figure]:
    """Measure generating and preparing, by turns."""
    log, dataset = options.work / "ijcai-log", options.work / "ijcai"
    generate = [*CIGF, "data", "generate", *SIZES, "--behaviors", BEHAVIORS, "--files", "8"]
    prepare = [*CIGF, "data", "prepare", str(log), "--behaviors", BEHAVIORS]
    made, prepared = [], []
    for _ in range(options.repeats):
        made.append(measure([*generate, "--out", str(log), "--force"]))
        prepared.append(measure([*prepare, "--out", str(dataset), "--force"]))
    report = json.loads((dataset / MANIFEST).read_text())["extra"]["report"]
    n_pairs = sum(report["n_pairs"].values()) + sum(report["n_test"].values())
    repeated = report["dropped"]["repeated events (the last time is kept)"]
    assert report["n_events"] == n_pairs + repeated == N_EVENTS, report
    return [
        *_figures("generate", made, seconds=None),
        *_figures("prepare", prepared, seconds=90.0, peak_mb=6000.0),
        Figure("distinct pairs", n_pairs / 1e6, "M", 1),
    ]


def _figures(
    name: str,
    runs: list[dict[str, float]],
    seconds: float | None,
    peak_mb: float | None = None,
) -> list[Figure]:
    return [
        median_of(f"{name}: wall", [taken["seconds"] for taken in runs], "s", must=seconds),
        median_of(f"{name}: processor", [taken["cpu_seconds"] for taken in runs], "s"),
        median_of(f"{name}: peak memory", [taken["peak_mb"] for taken in runs], "MB", must=peak_mb),
    ]
