"""Facts about the machine and the installed packages, for `cigf doctor` and bug reports."""

import os
import platform
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("cigf", "torch", "polars", "numpy", "scipy", "pydantic", "safetensors", "typer", "rich")
OPTIONAL_PACKAGES = ("matplotlib", "numba", "optuna", "tensorboard")


@dataclass(frozen=True)
class Environment:
    """The machine and what is installed on it.

    Args:
        python: Version.
        platform: Operating system and processor.
        versions: Package name to installed version, or None.
        n_cores: Cores that this process may use.
        memory_total: Bytes, or None where the system does not say.
        memory_free: Bytes that can be had now, or None.
        disk_free: Bytes on the disk of the folder asked about.
    """

    python: str
    platform: str
    versions: dict[str, str | None]
    n_cores: int
    memory_total: int | None
    memory_free: int | None
    disk_free: int

    def to_json(self) -> dict[str, Any]:
        """Return the facts as plain values."""
        return asdict(self)


def environment(folder: Path = Path()) -> Environment:
    """Return the facts that a bug report needs; imports none of the packages.

    Args:
        folder: Where results will be written.
    """
    return Environment(
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.release()} {platform.machine()}",
        versions=_versions((*PACKAGES, *OPTIONAL_PACKAGES)),
        n_cores=n_cores(),
        memory_total=_pages("SC_PHYS_PAGES"),
        memory_free=memory_free(),
        disk_free=shutil.disk_usage(folder).free,
    )


def n_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_free() -> int | None:
    """Return the bytes that can be had now, or None where the system does not say."""
    return _available_memory(Path("/proc/meminfo"))


def _versions(names: Sequence[str]) -> dict[str, str | None]:
    versions: dict[str, str | None] = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def _pages(name: str) -> int | None:
    try:
        return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def _available_memory(meminfo: Path) -> int | None:
    """Read Linux's own estimate, which counts caches that it would give up."""
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return _pages("SC_AVPHYS_PAGES")
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return _pages("SC_AVPHYS_PAGES")
