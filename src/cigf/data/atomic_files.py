"""RecBole's atomic files: tab-separated, each column named `name:type` in the first line."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from cigf.data.aliases import find_column
from cigf.data.notes import Notes
from cigf.data.ratings import RatingRange, as_numbers, rating_behaviors
from cigf.data.read_log import first_rows
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


def read_inter(
    path: Path, ranges: tuple[RatingRange, ...], *, skip: bool, notes: Notes
) -> AtomicLog:
    """Read an .inter file as text columns without the types in their names.

    Where the file has no behavior column, its ratings become one.

    Args:
        path: The file.
        ranges: What the ratings mean.
        skip: Leave out rows whose rating is no number or in no range, instead of refusing them.
        notes: Where they are counted.

    Raises:
        DataError: The file is not of this format, or a rating means nothing.
    """
    try:
        frame = pl.read_csv(path, separator="\t", quote_char=None, infer_schema=False, glob=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path}: not an .inter file: {str(error).splitlines()[0]}") from None
    names = [_plain_name(path, name) for name in frame.columns]
    for name in names:
        if names.count(name) > 1:
            raise DataError(
                f"{path}: {names.count(name)} columns are called {name}; remove all but one"
            )
    frame.columns = names
    found = find_column(frame.columns, BEHAVIOR)
    if found is not None:
        return AtomicLog(frame, found, rated=False)
    if RATING not in frame.columns:
        raise DataError(
            f"{path}: neither a behavior nor a rating column; columns are "
            f"{', '.join(frame.columns)}"
        )
    return AtomicLog(_replace_rating(path, frame, ranges, skip, notes), BEHAVIOR, rated=True)


def _plain_name(path: Path, column: str) -> str:
    name, colon, kind = column.partition(":")
    if not colon or kind not in TYPES:
        raise DataError(
            f"{path}: column {column!r} of the first line is not name:type with a type of "
            f"{', '.join(TYPES)}; is this a RecBole atomic file?"
        )
    return name


def _replace_rating(
    path: Path, frame: pl.DataFrame, ranges: tuple[RatingRange, ...], skip: bool, notes: Notes
) -> pl.DataFrame:
    unread = as_numbers(frame[RATING]).is_null()
    meaning = rating_behaviors(frame[RATING], ranges)
    outside = meaning.is_null() & ~unread
    if not skip:
        _refuse_meaningless(path, frame[RATING], unread, outside)
    notes.drop("ratings that are no numbers", int(unread.sum()))
    notes.drop("ratings in no range", int(outside.sum()))
    frame = frame.drop(RATING).with_columns(meaning.alias(BEHAVIOR))
    return frame.filter(pl.col(BEHAVIOR).is_not_null())


def _refuse_meaningless(
    path: Path, ratings: pl.Series, unread: pl.Series, outside: pl.Series
) -> None:
    if unread.any():
        raise DataError(
            f"{path}: {first_rows(unread, 'line', 2)}: rating {ratings.filter(unread)[0] or ''!r} "
            f"is not a number ({unread.sum():,} such rows); correct the file, or pass --on-error "
            "skip to leave them out"
        )
    if outside.any():
        values = ratings.filter(outside).unique().sort().head(3).to_list()
        raise DataError(
            f"{path}: {first_rows(outside, 'line', 2)}: {outside.sum():,} ratings are in no range "
            f"of --ratings, such as {', '.join(values)}; widen a range, or pass --on-error skip to "
            "leave them out"
        )
