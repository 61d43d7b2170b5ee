"""What the benchmarks share: options, the prepared data, runs that can be continued, the table."""

import json
import platform
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks.process import measure
from cigf.data.dataset_store import load_split
from cigf.data.splitting import Split
from cigf.experiment.config import ExperimentConfig, load_experiment
from cigf.experiment.folder import RunFolder
from cigf.experiment.training import train_run
from cigf.training.events import Listener

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "experiments" / "cigf-reference.toml"
FAST = ROOT / "experiments" / "cigf-fast.toml"
CIGF = [sys.executable, "-m", "cigf"]
_MOST_SHOWN = 9
"""More measurements than these are only in the JSON form."""


@dataclass(frozen=True)
class Options:
    """What a benchmark is told.

    Args:
        data: The folder with Taobao-15K's events.csv.gz and test.csv.
        work: Where the dataset and runs are kept; those that are there already are used.
        repeats: How often each thing is timed.
        seeds: Of the runs whose quality is measured.
        seconds: How long the server is under mixed load.
        python: The interpreter of another environment, which has RecBole.
    """

    data: Path
    work: Path
    repeats: int = 5
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    seconds: float = 600.0
    python: Path | None = None

    @property
    def dataset(self) -> Path:
        """The dataset folder; prepared, where it is not there yet, by a process of its own."""
        folder = self.work / "dataset"
        if not folder.exists():
            measure(self.prepare_command(folder))
        return folder

    def split(self) -> Split:
        """The prepared data."""
        return load_split(self.dataset)

    def prepare_command(self, out: Path) -> list[str]:
        """The command that makes the dataset."""
        sources = [str(self.data / "events.csv.gz"), "--test", str(self.data / "test.csv")]
        return [
            *CIGF,
            "data",
            "prepare",
            *sources,
            "--behaviors",
            "view,cart,buy",
            "--out",
            str(out),
        ]


@dataclass(frozen=True)
class Figure:
    """One line of a benchmark's table.

    Args:
        name: What was measured.
        value: The figure; None where it was not reached.
        unit: Its unit, if it has one.
        digits: Digits after the point.
        values: The single measurements behind it.
        must: The bound it has to keep, if there is one.
        at_least: Whether the bound is the lowest allowed value instead of the highest.
    """

    name: str
    value: float | None
    unit: str = ""
    digits: int = 2
    values: tuple[float, ...] = ()
    must: float | None = None
    at_least: bool = False

    def line(self, width: int) -> str:
        """The figure as a line of text."""
        value = "never" if self.value is None else f"{self.value:.{self.digits}f} {self.unit}"
        parts = [f"  {self.name:<{width}}  {value.strip():<10}"]
        if self.must is not None:
            sign = ">=" if self.at_least else "<="
            parts.append(f"must: {sign} {self.must:g} {self.unit}".strip())
            parts.append("" if self.kept else "MISSED")
        if 1 < len(self.values) <= _MOST_SHOWN:
            parts.append("(" + " ".join(f"{value:.{self.digits}f}" for value in self.values) + ")")
        return "  ".join(part for part in parts if part).rstrip()

    @property
    def kept(self) -> bool:
        """Whether the bound is kept; without one it is."""
        if self.must is None:
            return True
        if self.value is None:
            return False
        return self.value >= self.must if self.at_least else self.value <= self.must


def median_of(
    name: str, values: Sequence[float], unit: str, *, digits: int = 2, must: float | None = None
) -> Figure:
    """Return the median of several measurements as a figure."""
    return Figure(name, statistics.median(values), unit, digits, tuple(values), must)


def machine() -> dict[str, str | int]:
    """Return what the figures depend on besides the program."""
    return {
        "processor": _processor(Path("/proc/cpuinfo")),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def report(name: str, about: str, figures: list[Figure], *, as_json: bool) -> None:
    """Print a benchmark's figures as a table, or as one line of JSON."""
    facts = machine()
    if as_json:
        lines = [asdict(figure) for figure in figures]
        print(json.dumps({"benchmark": name, "machine": facts, "figures": lines}), flush=True)
        return
    print(f"{name}: {about}")
    print("  " + ", ".join(f"{key} {value}" for key, value in facts.items()))
    width = max(len(figure.name) for figure in figures)
    print("\n".join(figure.line(width) for figure in figures), flush=True)


def trained_run(
    dataset: Path, out: Path, config: ExperimentConfig, listener: Listener | None = None
) -> RunFolder:
    """Train a run on the CPU, continue one that was stopped, or take a finished one as it is.

    Raises:
        SystemExit: The folder holds a run of another configuration.
    """
    run = RunFolder(out)
    begun = (out / "run.json").exists()
    if begun and load_experiment(run.config) != config:
        raise SystemExit(f"{out}: a run of another configuration; remove it or name another --work")
    if not begun or run.read_info()["status"] != "finished":
        train_run(dataset, out, config, device="cpu", resume=begun, listener=listener)
    return run


def say(text: str) -> None:
    """Tell how far a long benchmark is."""
    print(text, file=sys.stderr, flush=True)


def _processor(cpuinfo: Path) -> str:
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
