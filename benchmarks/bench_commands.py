"""Whole commands: `cigf --help`, `data prepare`, `recommend --all`, and the memory of `train`.

What they write is checked: a list for every user.
"""

import shutil
from pathlib import Path

import polars as pl

from benchmarks.common import CIGF, REFERENCE, Figure, Options, median_of
from benchmarks.process import measure
from cigf.data.dataset_store import load_split

K = 10


def run(options: Options) -> list[Figure]:
    """Measure the commands, each in processes of its own."""
    folder = options.work / "commands"
    try:
        return _measure_all(folder, options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measure_all(folder: Path, options: Options) -> list[Figure]:
    dataset, run, lists = folder / "dataset", folder / "run", folder / "recs.parquet"
    prepare = [*options.prepare_command(dataset), "--force"]
    train = [*CIGF, "train", str(dataset), "--out", str(run), "--config", str(REFERENCE)]
    train += ["--set", "training.epochs=2", "--device", "cpu"]
    recommend = [*CIGF, "recommend", str(run), "--all", "--k", str(K), "--out", str(lists)]
    figures = _timed("--help", [*CIGF, "--help"], options.repeats, must=0.4)
    figures += _timed("data prepare", prepare, options.repeats, must=4.0)
    training = measure(train)
    figures += _timed("recommend --all", [*recommend, "--force"], options.repeats, must=5.0)
    n_users, n_listed = load_split(dataset).train.n_users, pl.read_parquet(lists)["user_id"]
    assert n_listed.n_unique() == n_users, f"{n_listed.n_unique()} lists for {n_users} users"
    return [*figures, Figure("train, peak memory", training["peak_mb"], "MB", 0, must=1000)]


def _timed(name: str, command: list[str], repeats: int, *, must: float) -> list[Figure]:
    runs = [measure(command) for _ in range(repeats)]
    peak = max(taken["peak_mb"] for taken in runs)
    return [
        median_of(f"{name}, wall", [taken["seconds"] for taken in runs], "s", must=must),
        Figure(f"{name}, peak memory", peak, "MB", digits=0),
    ]
