"""The large graphs on a GPU: a step, an epoch, the whole catalog; without one it says so.

Written for a CUDA device and measured on none so far: there was none where this was developed. The
pieces are those of `benchmarks.bench_scale`, in this process. The first steps and the first epoch
are not counted: they compile kernels, and measure which way of propagating is the fastest.
Other steps are watched by a profiler. Where the device works for much less than a step takes, it
waits for Python and for kernels to be launched, and CUDA graphs could help.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import scale_parts
from benchmarks.bench_scale import WARM_UP, dataset
from benchmarks.common import Figure, Options, median_of, say
from benchmarks.power_law import IJCAI, TAOBAO, Size
from cigf.graph.fastest import measured

_GIGABYTE = float(1 << 30)

_USERS_PER_STEP = 256
_PROFILED = 10
"""Steps in which the profiler watches the device."""
_SHOWN = 12
"""The slowest kernels are shown by name."""
_NAMED = 60
"""Letters of a kernel's name that are shown."""


def run(
    options: Options, ijcai: Size = IJCAI, taobao: Size = TAOBAO, device: str | None = None
) -> list[Figure]:
    """Measure on a device: the first CUDA device where none is named, and nothing without one."""
    if device is None and not torch.cuda.is_available():
        say("gpu: there is no CUDA device here, so nothing is measured")
        return [Figure("CUDA devices", 0, digits=0)]
    here = torch.device(device or "cuda")
    name = torch.cuda.get_device_name() if here.type == "cuda" else str(here)
    say(f"gpu: {name}")
    bench = _Bench(here, name, options.repeats)
    large, middle = (
        dataset(options, each, size) for each, size in (("ijcai", ijcai), ("taobao", taobao))
    )
    return [
        Figure("CUDA devices", torch.cuda.device_count(), digits=0),
        *bench.steps("IJCAI size, a step on the whole graph, L = 3", large),
        *bench.epochs("Taobao size, an epoch, L = 4", middle),
        *bench.inside("IJCAI size, a step, L = 3", large, "model.n_layers=3"),
        *bench.inside("Taobao size, a step, L = 4", middle, "model.n_layers=4"),
        *bench.ranking("IJCAI size", large),
        *bench.encoding("IJCAI size, representing all nodes, L = 3", large),
        *_ways(),
    ]


class _Bench:
    """Pieces of work on one device.

    Args:
        device: The device.
        name: What it calls itself.
        repeats: How often each piece is timed.
    """

    def __init__(self, device: torch.device, name: str, repeats: int) -> None:
        self._device, self._name, self._repeats = device, name, repeats

    def steps(self, what: str, folder: Path) -> list[Figure]:
        """Steps in single precision, and with gathers of half precision."""
        figures = []
        users = _USERS_PER_STEP * (WARM_UP + self._repeats)
        for gathers in ("float32", "float16"):
            taken = self._part(
                "train",
                folder,
                "model.n_layers=3",
                "training.epochs=1",
                f"training.gathers={gathers}",
                f"sampling.users_per_epoch={users}",
            )
            milliseconds = [1e3 * each for each in taken["steps"][WARM_UP:]]
            name = f"{self._name}: {what}, {gathers}"
            figures += [median_of(name, milliseconds, "ms", must=60.0), self._peak(name, taken)]
        return figures

    def epochs(self, what: str, folder: Path) -> list[Figure]:
        """Epochs of the reference setting."""
        figures = []
        for gathers in ("float32", "float16"):
            epochs = f"training.epochs={1 + self._repeats}"
            chosen = ("model.n_layers=4", epochs, f"training.gathers={gathers}")
            taken = self._part("train", folder, *chosen)
            name = f"{self._name}: {what}, {taken['steps_per_epoch']} steps, {gathers}"
            seconds = taken["epochs"][1:]
            figures += [median_of(name, seconds, "s", must=1.0), self._peak(name, taken)]
        return figures

    def inside(self, what: str, folder: Path, *chosen: str) -> list[Figure]:
        """What the device does in a step: the less of a step's time, the more waits for Python."""
        users = f"sampling.users_per_epoch={_USERS_PER_STEP * (WARM_UP + _PROFILED)}"
        taken = self._part("profiled", folder, *chosen, users, "training.epochs=1")
        steps, operations = taken["profiled_steps"], taken["operations"]
        name = f"{self._name}: {what}"
        if not operations:
            say(f"gpu: {what}: the profiler saw nothing; it may not be allowed to here")
            return [Figure(f"{name}: the device works", None, "ms")]
        slowest = sorted(operations.items(), key=lambda each: -each[1][0])[:_SHOWN]
        seconds, calls = (sum(each) for each in zip(*operations.values(), strict=True))
        return [
            Figure(f"{name}: the device works", 1e3 * seconds / steps, "ms"),
            Figure(f"{name}: kernels and copies", calls / steps, digits=0),
            *(
                Figure(f"{name}: {key[:_NAMED]} ({count / steps:.0f})", 1e3 * each / steps, "ms", 3)
                for key, (each, count) in slowest
            ),
        ]

    def ranking(self, what: str, folder: Path) -> list[Figure]:
        """Ranks of held-out items and lists of ten, in the whole catalog."""
        taken = self._part("rank", folder)
        name = f"{self._name}: {what}, {taken['users']:,} users"
        return [
            median_of(f"{name}: ranks in the whole catalog", taken["ranks"][1:], "s", must=1.5),
            median_of(f"{name}: lists of ten", taken["lists"][1:], "s", must=1.5),
            self._peak(name, taken),
        ]

    def encoding(self, what: str, folder: Path) -> list[Figure]:
        """All nodes' representations, in blocks of rows."""
        taken = self._part("encode", folder, "model.n_layers=3")
        name = f"{self._name}: {what}"
        return [median_of(name, taken["seconds"][1:], "s"), self._peak(name, taken)]

    def _part(self, part: str, folder: Path, *chosen: str) -> dict[str, Any]:
        """Do one piece of work, whose first repetition is not counted."""
        on_gpu = self._device.type == "cuda"
        if on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        options = {"set": chosen, "repeats": 1 + self._repeats, "device": str(self._device)}
        options["warm_up"] = WARM_UP
        taken = scale_parts.work(part, folder, options)
        peak = torch.cuda.max_memory_allocated() if on_gpu else 0
        return {**taken, "device_peak": peak / _GIGABYTE}

    def _peak(self, name: str, taken: dict[str, Any]) -> Figure:
        return Figure(f"{name}: peak memory of the device", taken["device_peak"], "GB")


def _ways() -> Sequence[Figure]:
    """What the process found when it compared ways to propagate, on sizes as they came."""
    return [
        Figure(
            f"{each.operation} {each.sizes}: {way}" + " (taken)" * (way == each.chosen),
            1e3 * seconds if math.isfinite(seconds) else None,
            "ms",
        )
        for each in measured()
        for way, seconds in each.seconds.items()
    ]
