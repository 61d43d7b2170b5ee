"""A cell as a process of its own: what it costs is its own, and it cannot take others down.

Run as a program (`python -m cigf.experiment.cell_process DATASET FOLDER DEVICE`) it runs one cell.
It ends by itself when the process that started it is gone, which it learns from its standard
input, so that a comparison that was killed leaves nobody behind.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from cigf.data.environment import n_cores
from cigf.experiment.cells import CellFolder, run_cell
from cigf.experiment.orphans import end_with_the_parent
from cigf.experiment.running import Start

_PATIENCE = 5.0
"""Seconds between asking a process to end and making it."""


class CellProcess:
    """A running cell.

    Args:
        dataset: The dataset's folder.
        folder: The cell's.
        device: Where it computes.
        threads: Threads of its computations, unless the environment says so.
    """

    def __init__(self, dataset: Path, folder: CellFolder, device: str, threads: int) -> None:
        command = [sys.executable, "-m", __name__, str(dataset), str(folder.path), device]
        with folder.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=_environment(os.environ, threads),
                # Ctrl-C goes to the one that was started by hand, which then stops the others.
                start_new_session=True,
            )

    def poll(self) -> int | None:
        """Return the exit code; None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """End it, whatever it does; its checkpoints stay."""
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.close()

    def close(self) -> None:
        """Close what connects to it."""
        if self._process.stdin is not None:
            self._process.stdin.close()


def start_processes(dataset: Path, device: str, jobs: int | None) -> tuple[Start, int]:
    """Return what begins cells as processes, and how many run at a time.

    Args:
        dataset: The dataset's folder.
        device: Where they compute: "cpu" or "cuda".
        jobs: Most at a time; None: one per core, or a single one on a GPU.
    """
    cores = n_cores()
    at_once = jobs or (1 if device == "cuda" else cores)
    threads = max(1, cores // at_once)
    return lambda cell: CellProcess(dataset, cell.folder, device, threads), at_once


def _environment(given: Mapping[str, str], threads: int) -> dict[str, str]:
    return {"OMP_NUM_THREADS": str(threads), **given}


def main(arguments: list[str]) -> int:
    """Run a cell; return the exit code."""
    dataset, folder, device = arguments
    end_with_the_parent()
    outcome = run_cell(Path(dataset), CellFolder(Path(folder)), device)
    return 0 if outcome.status == "finished" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
