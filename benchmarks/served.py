"""A server in a process of its own, for benchmarks."""

import json
import os
import subprocess
import time
from pathlib import Path
from types import TracebackType

from benchmarks.common import CIGF

ADMIN = "benchmark"


class Served:
    """`cigf serve` on a free port; it is told to stop at the end of the block.

    Args:
        run: Folder of a run or an artifact.
        events: The event log, or None.
        options: Further options of the command.
    """

    def __init__(self, run: Path, events: Path | None = None, *options: str) -> None:
        kept = ["--events", str(events)] if events else []
        self._command = [*CIGF, "serve", str(run), "--port", "0", "--quiet", *kept, *options]
        self.port = 0
        self.seconds = 0.0
        """From the start of the process until it said that it is ready."""

    def __enter__(self) -> "Served":
        start = time.perf_counter()
        environment = {**os.environ, "CIGF_ADMIN_TOKEN": ADMIN}
        self.process = subprocess.Popen(
            self._command, stderr=subprocess.PIPE, text=True, env=environment
        )
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        self.seconds = time.perf_counter() - start
        try:
            self.port = int(json.loads(line)["url"].rpartition(":")[2])
        except (ValueError, KeyError):
            raise SystemExit(f"the server did not start: {line}{self.kill()}") from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.communicate(timeout=30)

    def kill(self) -> str:
        """End the process at once; return what it had said."""
        self.process.kill()
        return self.process.communicate()[1]

    @property
    def memory_mb(self) -> float:
        """Resident memory that is the process's own."""
        lines = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()
        private = [int(line.split()[1]) for line in lines if line.startswith("Private_")]
        return sum(private) / 1024
