"""The event table: its column names, and `Interactions`, which is checked once and then trusted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from cigf.data.behaviors import Behaviors
from cigf.errors import DataError, did_you_mean

USER = "user_id"
ITEM = "item_id"
BEHAVIOR = "behavior"
TIME = "timestamp"
WEIGHT = "weight"

ID_TYPES: tuple[pl.DataType, ...] = (pl.Int64(), pl.String())
"""What an id may be inside: an integer or text."""


@dataclass(frozen=True, eq=False)
class Interactions:
    """A checked event log, one row per event, in the order in which it was read.

    Args:
        events: Columns user_id and item_id (Int64 or String), behavior (an Enum of the names in
            `behaviors`), timestamp (Int64, milliseconds since 1970-01-01 UTC, never negative) where
            the log has times, weight (Float64) where it has weights; no nulls.
        behaviors: The behaviors the log may hold, target last.
        dropped: Rows left out while reading, by reason.
        warnings: What a user should know about how the log was understood.
    """

    events: pl.DataFrame
    behaviors: Behaviors
    dropped: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        expected: dict[str, tuple[pl.DataType, ...]] = {
            USER: ID_TYPES,
            ITEM: ID_TYPES,
            BEHAVIOR: (behavior_type(self.behaviors),),
            TIME: (pl.Int64(),),
            WEIGHT: (pl.Float64(),),
        }
        for name, dtype in self.events.schema.items():
            if name not in expected:
                raise DataError(f"event table: column {name!r}; allowed are {', '.join(expected)}")
            if dtype not in expected[name]:
                allowed = " or ".join(map(str, expected[name]))
                raise DataError(f"event table: column {name} is {dtype}; it must be {allowed}")
            if self.events[name].null_count():
                raise DataError(f"event table: column {name} has missing values")
        missing = [name for name in (USER, ITEM, BEHAVIOR) if name not in self.events.columns]
        if missing:
            raise DataError(f"event table: column {missing[0]} is missing")

    @classmethod
    def from_frame(cls, frame: pl.DataFrame, behaviors: Behaviors) -> "Interactions":
        """Check a frame that has the standard columns, with behaviors as text.

        Raises:
            DataError: A column is missing or of another type, or a behavior is unknown.
        """
        known = [name for name in (USER, ITEM, BEHAVIOR, TIME, WEIGHT) if name in frame.columns]
        frame = frame.select(known)
        if BEHAVIOR in frame.columns:
            text = frame[BEHAVIOR].cast(pl.String)
            for name in text.unique().drop_nulls().sort().to_list():
                if name not in behaviors.names:
                    hint = did_you_mean(name, behaviors)
                    raise DataError(f"event table: behavior {name!r} is not known{hint}")
            frame = frame.with_columns(text.cast(behavior_type(behaviors)))
        return cls(frame, behaviors)

    @property
    def has_times(self) -> bool:
        """Whether every event has a time."""
        return TIME in self.events.columns

    def __len__(self) -> int:
        return self.events.height


def behavior_type(behaviors: Behaviors) -> Any:
    """Return the column type of `Interactions.events["behavior"]`, a `polars.Enum`.

    Annotated loosely because beartype cannot read Polars' types.
    """
    return pl.Enum(behaviors.names)
