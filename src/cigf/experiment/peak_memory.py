"""The peak memory of this process."""

import sys
from pathlib import Path


def peak_megabytes(status: Path = Path("/proc/self/status")) -> float | None:
    """Return the largest resident memory so far, in megabytes; None where it is not known.

    Linux's own count for the process is used, because that of `getrusage` begins with the memory
    of the process which started this one.

    Args:
        status: Where Linux says it.
    """
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return _by_usage()
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return None


def _by_usage() -> float | None:
    try:
        import resource
    except ImportError:  # not a Unix
        return None
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / (1 << 20 if sys.platform == "darwin" else 1 << 10)
