"""A process that ends when the one that started it is gone, however that ended."""

import os
import sys
import threading
from typing import BinaryIO


def end_with_the_parent(stream: BinaryIO | None = None) -> None:
    """Watch the other end of a pipe, and end at once when it is closed.

    Args:
        stream: The pipe; None for the standard input.
    """
    pipe = stream or sys.stdin.buffer

    def wait() -> None:
        pipe.read()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
