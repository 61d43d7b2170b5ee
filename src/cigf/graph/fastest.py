"""Which of several ways to compute the same thing is the fastest on a GPU: measured there.

Nothing here is about what is computed. On the CPU the ways are chosen once and for all, by
measurements of ours; what a GPU does best depends on the GPU and on the graph's sizes.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

_MARGIN = 1.1
"""How many times faster another way must be than the first one: that measuring again, with some
noise, chooses the same, so that the same seed gives the same bits."""

_REPEATS = 3


@dataclass(frozen=True)
class Measurement:
    """What was measured for one operation.

    Args:
        operation: What is computed.
        sizes: Of what.
        seconds: Of each way; infinite where the memory did not suffice.
        chosen: The way that is taken.
    """

    operation: str
    sizes: tuple[int, ...]
    seconds: dict[str, float]
    chosen: str


_known: dict[tuple[object, ...], Measurement] = {}


def fastest(
    operation: str,
    sizes: tuple[int, ...],
    ways: Mapping[str, Callable[[], object]],
    device: torch.device,
) -> str:
    """Return the name of the fastest way; the first, unless another one is clearly faster.

    Measured once per process, operation, device and magnitude of the sizes.

    Args:
        operation: What the ways compute.
        sizes: What their time depends on; the same number of binary digits is the same magnitude.
        ways: They leave nothing behind.
        device: Where they compute.
    """
    key = (operation, device, *(n.bit_length() for n in sizes), *ways)
    if key not in _known:
        # Under no lock: a way may ask for the fastest way of something itself, in another thread
        # where it computes gradients.
        seconds = {name: _seconds(way, device) for name, way in ways.items()}
        _known.setdefault(key, Measurement(operation, sizes, seconds, _choice(seconds)))
    return _known[key].chosen


def measured() -> list[Measurement]:
    """Return what was measured in this process."""
    return list(_known.values())


def _choice(seconds: dict[str, float]) -> str:
    first, best = next(iter(seconds)), min(seconds, key=seconds.__getitem__)
    return best if seconds[best] * _MARGIN < seconds[first] else first


def _seconds(way: Callable[[], object], device: torch.device) -> float:
    try:
        way()  # which may compile it
        return statistics.median(_timed(way, device) for _ in range(_REPEATS))
    except torch.OutOfMemoryError:
        return float("inf")


def _timed(way: Callable[[], object], device: torch.device) -> float:
    _finish(device)
    began = time.perf_counter()
    way()
    _finish(device)
    return time.perf_counter() - began


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
