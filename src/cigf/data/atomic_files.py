"""RecBole's atomic files: tab-separated, each column named `name:type` in the first line."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from cigf.data.aliases import find_column
from cigf.data.ratings import RatingRange, rating_behaviors
from cigf.data.schema import BEHAVIOR
from cigf.errors import DataError

TYPES = ("token", "token_seq", "float", "float_seq")
RATING = "rating"


@dataclass(frozen=True)
class AtomicLog:
    """An .inter file as text.

    Args:
        frame: Its columns, without the types in their names.
        behavior_column: The one with the behaviors; it was made from the ratings if `rated`.
        rated: Whether the file had ratings instead of behaviors.
    """

    frame: pl.DataFrame
    behavior_column: str
    rated: bool


def find_inter_file(path: Path) -> Path:
    """Return `path`, or the one .inter file in it if it is a folder.

    Raises:
        DataError: There is none, or there are several.
    """
    if not path.is_dir():
        return path
    files = sorted(path.glob("*.inter"))
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise DataError(f"{path}: one .inter file is needed; found: {names}; name the file")
    return files[0]


def read_inter(path: Path, ranges: tuple[RatingRange, ...], *, skip: bool) -> AtomicLog:
    """Read an .inter file as text columns without the types in their names.

    Where the file has no behavior column, its ratings become one.

    Args:
        path: The file.
        ranges: What the ratings mean.
        skip: Leave out rows whose rating lies in no range, instead of refusing them.

    Raises:
        DataError: The file is not of this format, or a rating means nothing.
    """
    try:
        frame = pl.read_csv(path, separator="\t", quote_char=None, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path}: not an .inter file: {str(error).splitlines()[0]}") from None
    frame = frame.rename({name: _plain_name(path, name) for name in frame.columns})
    found = find_column(frame.columns, BEHAVIOR)
    if found is not None:
        return AtomicLog(frame, found, rated=False)
    if RATING not in frame.columns:
        raise DataError(
            f"{path}: neither a behavior nor a rating column; columns are "
            f"{', '.join(frame.columns)}"
        )
    return AtomicLog(_replace_rating(path, frame, ranges, skip), BEHAVIOR, rated=True)


def _plain_name(path: Path, column: str) -> str:
    name, colon, kind = column.partition(":")
    if not colon or kind not in TYPES:
        raise DataError(
            f"{path}: column {column!r} of the first line is not name:type with a type of "
            f"{', '.join(TYPES)}; is this a RecBole atomic file?"
        )
    return name


def _replace_rating(
    path: Path, frame: pl.DataFrame, ranges: tuple[RatingRange, ...], skip: bool
) -> pl.DataFrame:
    meaning = rating_behaviors(frame[RATING], ranges)
    if meaning.null_count() and not skip:
        values = frame[RATING].filter(meaning.is_null()).unique().sort().head(3).to_list()
        raise DataError(
            f"{path}: {meaning.null_count():,} ratings are in no range of --ratings, "
            f"such as {', '.join(values)}; widen a range, or pass --on-error skip to leave them out"
        )
    frame = frame.drop(RATING).with_columns(meaning.alias(BEHAVIOR))
    return frame.filter(pl.col(BEHAVIOR).is_not_null())
