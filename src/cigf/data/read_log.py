"""What was noticed while reading: rows left out, and remarks for the user."""

from collections import Counter
from typing import Literal

import polars as pl

from cigf.errors import DataError

SHOWN = 5
"""How many row numbers or examples a message names."""


class ReadLog:
    """Collects bad rows and warnings of one read.

    Args:
        on_error: "fail" raises at the first kind of bad row, "skip" counts and goes on.
    """

    def __init__(self, on_error: Literal["fail", "skip"]) -> None:
        self.on_error = on_error
        self.dropped: Counter[str] = Counter()
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        """Keep a remark, once."""
        if message not in self.warnings:
            self.warnings.append(message)

    def bad_rows(self, reason: str, source: str, count: int, where: str, cure: str = "") -> None:
        """Count rows that cannot be used.

        Raises:
            DataError: Bad rows are not to be skipped.
        """
        if not count:
            return
        if self.on_error == "fail":
            noun = "row" if count == 1 else "rows"
            advice = f"{cure}; or" if cure else "correct the file, or"
            raise DataError(
                f"{source}: {reason}: {count:,} {noun} ({where}); "
                f"{advice} pass --on-error skip to leave such rows out"
            )
        self.dropped[reason] += count


def first_rows(bad: pl.Series, unit: str, first: int) -> str:
    """Name the first few places where `bad` holds, such as "lines 3, 7, 9, ..."."""
    rows = (bad.arg_true().head(SHOWN + 1) + first).to_list()
    return name_rows(rows, unit)


def name_rows(rows: list[int], unit: str) -> str:
    """Name some row numbers; of more than `SHOWN` only the first."""
    shown = ", ".join(map(str, rows[:SHOWN])) + (", ..." if len(rows) > SHOWN else "")
    return f"{unit} {shown}" if len(rows) == 1 else f"{unit}s {shown}"
