"""Run benchmarks: python -m benchmarks [NAME...]; all of them without a name."""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from benchmarks import (
    bench_ablations,
    bench_catalog,
    bench_commands,
    bench_epoch,
    bench_evaluate,
    bench_fast,
    bench_fold_in,
    bench_gpu,
    bench_kills,
    bench_large,
    bench_order,
    bench_plus,
    bench_prepare,
    bench_quality,
    bench_ranks,
    bench_recbole,
    bench_scale,
    bench_serving,
    bench_soak,
    bench_step,
)
from benchmarks.common import ROOT, Figure, Options, report

MODULES: dict[str, ModuleType] = {
    "prepare": bench_prepare,
    "large": bench_large,
    "evaluate": bench_evaluate,
    "commands": bench_commands,
    "epoch": bench_epoch,
    "step": bench_step,
    "recbole": bench_recbole,
    "fold-in": bench_fold_in,
    "serving": bench_serving,
    "catalog": bench_catalog,
    "kills": bench_kills,
    "soak": bench_soak,
    "ranks": bench_ranks,
    "fast": bench_fast,
    "plus": bench_plus,
    "ablations": bench_ablations,
    "quality": bench_quality,
    "scale": bench_scale,
    "order": bench_order,
    "gpu": bench_gpu,
}

SYNTHETIC = ("scale", "order", "gpu")
"""Those that need no data; they run only when they are named, because they take long."""


def parser() -> argparse.ArgumentParser:
    """Build the parser; the help names every benchmark with the first line of its module."""
    about = "\n".join(f"  {name:<10}{_about(module)}" for name, module in MODULES.items())
    result = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"Measure cigf on Taobao-15K.\n\nbenchmarks:\n{about}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    beside = ROOT.parent / "shared" / "data"
    result.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="default: all but scale, order and gpu; recbole only with --python",
    )
    result.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("CIGF_DATA", beside)),
        help="folder that holds taobao15k/ (default: CIGF_DATA, or ../shared/data)",
    )
    result.add_argument(
        "--work", type=Path, help="keep the dataset and runs here, and use those that are here"
    )
    result.add_argument("--repeats", type=int, default=5, help="measurements of each time")
    result.add_argument("--seeds", type=_seeds, default=(0, 1, 2, 3, 4), help="such as 0,1,2")
    result.add_argument("--seconds", type=float, default=600.0, help="length of the soak")
    result.add_argument("--python", type=Path, help="interpreter that has RecBole")
    result.add_argument("--json", action="store_true", help="one JSON line per benchmark")
    return result


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmarks that are named; return the exit code."""
    options = parser().parse_args(arguments)
    unknown = [name for name in options.names if name not in MODULES]
    if unknown:
        parser().error(f"{unknown[0]!r} is not a benchmark; there are {', '.join(MODULES)}")
    data = options.data / "taobao15k"
    if not data.is_dir() and not (options.names and set(options.names) <= set(SYNTHETIC)):
        print(f"Nothing measured: there is no {data}; name the data folder in CIGF_DATA or --data.")
        return 0
    if options.work:
        options.work.mkdir(parents=True, exist_ok=True)
        return _run(options, data.resolve(), options.work.resolve())
    with tempfile.TemporaryDirectory(prefix="cigf-benchmarks-") as work:
        return _run(options, data.resolve(), Path(work))


def _run(options: argparse.Namespace, data: Path, work: Path) -> int:
    left_out = SYNTHETIC if options.python else {*SYNTHETIC, "recbole"}
    names = options.names or [name for name in MODULES if name not in left_out]
    if len(names) > 1:
        return max(_run_alone(name, options, work) for name in names)
    (name,) = names
    measure: Callable[[Options], list[Figure]] = MODULES[name].run
    told = Options(data, work, options.repeats, options.seeds, options.seconds, options.python)
    figures = measure(told)
    report(name, _about(MODULES[name]), figures, as_json=options.json)
    return 0


def _run_alone(name: str, options: argparse.Namespace, work: Path) -> int:
    """Run one of several benchmarks in a fresh process: none inherits another's memory."""
    command = [sys.executable, "-m", "benchmarks", name, "--work", str(work)]
    command += ["--data", str(options.data.resolve()), "--repeats", str(options.repeats)]
    command += ["--seeds", ",".join(map(str, options.seeds)), "--seconds", str(options.seconds)]
    command += ["--python", str(options.python)] if options.python else []
    command += ["--json"] * options.json
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def _seeds(text: str) -> tuple[int, ...]:
    return tuple(int(seed) for seed in text.split(","))


def _about(module: ModuleType) -> str:
    return (module.__doc__ or "").splitlines()[0]


if __name__ == "__main__":
    sys.exit(main())
