"""Graphs as large as the published ones: steps, epochs, ranking, growth, and what the model says.

The logs are synthetic (`benchmarks/power_law.py`), unless the folder of --work already holds a
prepared dataset `ijcai` or `taobao`. Every piece of work is a process of its own
(`benchmarks/scale_parts.py`), whose whole peak memory stands beside its time; the first steps and
the first epoch of several are not counted, because they ask the system for memory.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import scale_model
from benchmarks.common import ROOT, Figure, Options, median_of, say
from benchmarks.power_law import IJCAI, TAOBAO, Size, write_dataset
from benchmarks.scale_model import Shape
from benchmarks.scale_parts import SUBGRAPHS

GROWTH = tuple(IJCAI.times(1e6 * n / IJCAI.n_pairs) for n in (1, 2, 5, 10, 20, 36, 100))
"""IJCAI's size, grown as a whole to so many millions of pairs; 100 need 11 GB."""

WARM_UP = 10
"""First steps that are not counted: only then does a step on a large graph take no new memory."""

_ONE_EPOCH = ["training.epochs=1"]
_GIGABYTE = 1024.0


def run(
    options: Options,
    ijcai: Size = IJCAI,
    taobao: Size = TAOBAO,
    growth: Sequence[Size] = GROWTH,
) -> list[Figure]:
    """Measure everything; a size's dataset is written where it is not there yet."""
    large = dataset(options, "ijcai", ijcai)
    figures = [
        *full_step(large, options.repeats),
        *subgraph_epoch(large, options.repeats),
        *ranking(large, options.repeats),
        *encoding(large, options.repeats),
        *taobao_epoch(dataset(options, "taobao", taobao), options.repeats),
    ]
    sizes = {f"{each.n_pairs / 1e6:.3g} million": each for each in growth}
    folders = {
        name: dataset(options, f"grown-{each.n_pairs}", each) for name, each in sizes.items()
    }
    return figures + growing(folders, options.repeats)


def dataset(options: Options, name: str, size: Size) -> Path:
    """Return a dataset folder, written if it is not there."""
    folder = options.work / name
    if not folder.exists():
        say(f"scale: writing {name}, {size.n_pairs:,} pairs")
        write_dataset(folder, size)
    return folder


def full_step(folder: Path, repeats: int) -> list[Figure]:
    """Steps on the whole graph, L = 3, d = 16."""
    figures = []
    for gathers in ("float32", "float16"):
        taken = steps_of(folder, repeats, 3, gathers)
        name = f"IJCAI size, a step on the whole graph, L = 3, {gathers}"
        figures.append(median_of(name, taken["steps"], "s", must=12.0))
        figures += [_processor(name, taken["processor"]), _peak(name, taken, 16.0)]
        if gathers == "float32":
            shape = _shape(taken, layers=3)
            figures += _predicted(name, scale_model.training_bytes(shape), taken)
    return figures


def steps_of(folder: Path, repeats: int, layers: int, gathers: str) -> dict[str, Any]:
    """Train for WARM_UP + repeats steps; return what the later ones took."""
    users = 256 * (WARM_UP + repeats)
    chosen = [f"model.n_layers={layers}", f"training.gathers={gathers}"]
    taken = part("train", folder, [*chosen, *_ONE_EPOCH, f"sampling.users_per_epoch={users}"])
    return {**taken, **{each: taken[each][WARM_UP:] for each in ("steps", "processor")}}


def subgraph_epoch(folder: Path, repeats: int) -> list[Figure]:
    """Epochs of 10,000 users in one sub-graph, its sampling counted."""
    figures = []
    for layers in (2, 3):
        epochs = f"training.epochs={1 + repeats}"
        taken = part("train", folder, [f"model.n_layers={layers}", epochs, *SUBGRAPHS])
        name = f"IJCAI size, sub-graph epoch of {taken['steps_per_epoch']} steps, L = {layers}"
        figures.append(median_of(name, taken["epochs"][1:], "s", must=61.6))
        figures += [_processor(name, _later(taken)), _peak(name, taken, 8.0)]
    return figures


def ranking(folder: Path, repeats: int) -> list[Figure]:
    """Ranks of held-out items and lists of ten, in the whole catalog."""
    taken = part("rank", folder, repeats=repeats)
    name = f"IJCAI size, {taken['users']:,} users"
    return [
        median_of(f"{name}: ranks in the whole catalog", taken["ranks"], "s", must=60.0),
        median_of(f"{name}: lists of ten", taken["lists"], "s", must=60.0),
        _peak(name, taken, 4.0),
        *_predicted(name, scale_model.ranking_bytes(_shape(taken)), taken),
    ]


def encoding(folder: Path, repeats: int) -> list[Figure]:
    """All nodes' representations from the whole graph, in blocks of rows."""
    taken = part("encode", folder, ["model.n_layers=3"], repeats=repeats)
    name = "IJCAI size, representing all nodes, L = 3"
    predicted = scale_model.encoding_bytes(_shape(taken, layers=3))
    figures = [median_of(name, taken["seconds"], "s"), _peak(name, taken)]
    return figures + _predicted(name, predicted, taken)


def taobao_epoch(folder: Path, repeats: int) -> list[Figure]:
    """Epochs of the reference setting with four layers."""
    figures = []
    for gathers in ("float32", "float16"):
        chosen = [f"training.epochs={1 + repeats}", f"training.gathers={gathers}"]
        taken = part("train", folder, ["model.n_layers=4", *chosen])
        name = f"Taobao size, an epoch of {taken['steps_per_epoch']} steps, L = 4, {gathers}"
        figures.append(median_of(name, taken["epochs"][1:], "s", must=16.78))
        figures += [_processor(name, _later(taken)), _peak(name, taken)]
        if gathers == "float32":
            predicted = scale_model.training_bytes(_shape(taken, layers=4))
            figures += _predicted(name, predicted, taken)
    return figures


def growing(folders: dict[str, Path], repeats: int) -> list[Figure]:
    """Seconds of a step against pairs, and the slope of their logarithms."""
    figures, pairs, seconds = [], [], []
    for name, folder in folders.items():
        taken = steps_of(folder, repeats, 3, "float32")
        figure = median_of(f"{name} pairs, a step, L = 3", taken["steps"], "s")
        figures += [figure, _processor(name, taken["processor"]), _peak(f"{name} pairs", taken)]
        pairs.append(taken["size"]["pairs"])
        seconds.append(statistics.median(figure.values))
    slope = float(np.polyfit(np.log(pairs), np.log(seconds), 1)[0])
    return [*figures, Figure("growth: slope of log seconds against log pairs", slope, must=1.1)]


def part(name: str, folder: Path, chosen: Sequence[str] = (), repeats: int = 1) -> dict[str, Any]:
    """Do one piece of work in a process of its own."""
    say(f"scale: {name} {folder.name} {' '.join(chosen)}")
    options = json.dumps({"set": list(chosen), "repeats": repeats})
    command = [sys.executable, "-m", "benchmarks.scale_parts", name, str(folder), options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
    taken: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return taken


def _shape(taken: dict[str, Any], layers: int = 2) -> Shape:
    size = taken["size"]
    return Shape(size["users"], size["items"], size["behaviors"], size["pairs"], layers=layers)


def _later(taken: dict[str, Any]) -> list[float]:
    """Processor seconds of the steps of all epochs but the first."""
    later: list[float] = taken["processor"][taken["steps_per_epoch"] :]
    return later


def _processor(name: str, seconds: Sequence[float]) -> Figure:
    return median_of(f"{name}: a step's processor seconds, all threads", seconds, "s")


def _peak(name: str, taken: dict[str, Any], must: float | None = None) -> Figure:
    return Figure(f"{name}: peak memory", taken["peak_mb"] / _GIGABYTE, "GB", must=must)


def _predicted(name: str, n_bytes: float, taken: dict[str, Any]) -> list[Figure]:
    predicted = n_bytes / (1 << 30)
    ratio = predicted / (taken["peak_mb"] / _GIGABYTE)
    return [
        Figure(f"{name}: memory by the formula", predicted, "GB"),
        Figure(f"{name}: formula over measurement", ratio),
    ]
