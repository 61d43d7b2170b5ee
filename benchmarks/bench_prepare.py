"""`cigf data prepare`, the whole process, and loading what it wrote.

The dataset is checked against the log: as many distinct pairs of every behavior.
"""

import shutil
import time
from pathlib import Path

import polars as pl

from benchmarks.common import Figure, Options, median_of
from benchmarks.process import measure
from cigf.data.dataset_store import load_split


def run(options: Options) -> list[Figure]:
    """Measure preparing and loading."""
    expected = pl.scan_csv(options.data / "events.csv.gz").unique()
    counts = dict(expected.group_by("behavior").len().collect().iter_rows())
    out = options.work / "prepared"
    runs = [measure([*options.prepare_command(out), "--force"]) for _ in range(options.repeats)]
    loads = [_measure_load(out, counts) for _ in range(options.repeats)]
    shutil.rmtree(out)
    return [
        median_of("wall", [taken["seconds"] for taken in runs], "s", must=4.0),
        median_of("processor", [taken["cpu_seconds"] for taken in runs], "s"),
        median_of("peak memory", [taken["peak_mb"] for taken in runs], "MB"),
        median_of("loading", [1000 * seconds for seconds in loads], "ms"),
    ]


def _measure_load(folder: Path, counts: dict[str, int]) -> float:
    start = time.perf_counter()
    split = load_split(folder)
    seconds = time.perf_counter() - start
    kept = zip(split.train.behaviors.names, split.train.interactions, split.withheld, strict=True)
    found = {name: seen.nnz + held.nnz for name, seen, held in kept}
    assert found == counts, f"the dataset holds {found}, the log {counts}"
    return seconds
