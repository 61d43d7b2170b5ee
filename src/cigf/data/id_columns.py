"""Id columns: integers stay integers, text stays text, and blanks around an id do not count."""

import polars as pl

from cigf.data.read_log import SHOWN, ReadLog
from cigf.errors import DataError

EXACT_FLOAT = 2.0**53
"""Up to here a 64-bit float holds every integer exactly."""


def check_ids(column: pl.Series, name: str, source: str) -> pl.Series:
    """Return a column as integers, decimals or text.

    Raises:
        DataError: It is of a type that cannot be an id.
    """
    dtype = column.dtype
    if dtype.is_integer() or dtype.is_float():
        return column
    if dtype in (pl.Null, pl.String, pl.Categorical, pl.Enum):
        return column.cast(pl.String)
    raise DataError(f"{source}: column {name} holds {dtype}; ids must be integers or text")


def clean_ids(
    column: pl.Series, name: str, source: str, log: ReadLog, counts: pl.Series | None = None
) -> pl.Series:
    """Return ids as Int64 or String; null where an id is missing.

    Args:
        column: What `check_ids` gave: an id per row, or different ones.
        name: Name of the column.
        source: What to call the source in messages.
        log: Where what is odd is reported.
        counts: How many rows have each of the ids; default: one.

    Raises:
        DataError: They are decimal numbers.
    """
    dtype = column.dtype
    if dtype.is_integer():
        whole = column.cast(pl.Int64, strict=False)
        # Above 2^63 an unsigned id does not fit; as text it stays what it is.
        return whole if whole.null_count() == column.null_count() else column.cast(pl.String)
    if dtype.is_float():
        return _whole_floats(column, name, source, log)
    return _stripped(column, name, source, log, counts)


def _whole_floats(column: pl.Series, name: str, source: str, log: ReadLog) -> pl.Series:
    values = column.cast(pl.Float64).fill_nan(None)
    if not ((values.floor() == values) & (values.abs() <= EXACT_FLOAT)).all():
        raise DataError(
            f"{source}: column {name} holds decimal numbers; ids must be integers or text"
        )
    log.warn(f"{source}: {name} holds whole numbers as decimals; read as integers")
    return values.cast(pl.Int64)


def _stripped(
    column: pl.Series, name: str, source: str, log: ReadLog, counts: pl.Series | None
) -> pl.Series:
    stripped = column.str.strip_chars()
    changed = (stripped != column).fill_null(False)
    if changed.any():
        n_rows = int(changed.sum() if counts is None else counts.filter(changed).sum())
        _report_blanks(column, stripped, changed, n_rows, f"{source}: {name}", log)
        stripped = pl.select(pl.when(stripped != "").then(stripped)).to_series()
    elif (stripped == "").any():
        stripped = pl.select(pl.when(stripped != "").then(stripped)).to_series()
    return stripped.rename(column.name)


def _report_blanks(
    column: pl.Series,
    stripped: pl.Series,
    changed: pl.Series,
    n_rows: int,
    place: str,
    log: ReadLog,
) -> None:
    examples = ", ".join(repr(text) for text in column.filter(changed).unique().sort().head(SHOWN))
    merged = column.drop_nulls().n_unique() - stripped.drop_nulls().n_unique()
    log.warn(
        f"{place}: {n_rows:,} ids had blanks around them, which were removed "
        f"({examples})" + (f"; {merged:,} became equal to another id" if merged else "")
    )


def unify_ids(columns: list[pl.Series], name: str, log: ReadLog) -> list[pl.Series]:
    """Return the columns of several sources with one type: Int64 if every id is an integer.

    Text that writes an integer in the plain way ("17", not "017" or "+17") is that integer;
    if one single id is not an integer, all ids are text.
    """
    texts = [column for column in columns if column.dtype == pl.String]
    if not texts:
        return columns
    whole = [_as_integers(column, name, log) for column in texts]
    numbers = [column for column in whole if column is not None]
    settled = len(numbers) == len(texts)
    if len(texts) < len(columns):
        kind = "integers" if settled else "text"
        log.warn(f"{name}: ids are integers in one source and text in another; read as {kind}")
    if not settled:
        for column in texts:
            _remark_zeros(column, name, log)
        return [column.cast(pl.String) for column in columns]
    replaced = iter(numbers)
    return [next(replaced) if column.dtype == pl.String else column for column in columns]


def _as_integers(column: pl.Series, name: str, log: ReadLog) -> pl.Series | None:
    """Return text as integers, or None if some id is not the plain form of one."""
    if _all_plain(column.head(1000)) and _all_plain(column):
        return column.cast(pl.Int64)
    decimal = column.str.ends_with(".0")
    if not decimal.any():
        return None
    cut = column.str.strip_suffix(".0")
    if not _all_plain(cut):
        return None
    example = column.filter(decimal)[0]
    log.warn(f"{name}: whole numbers written as decimals (such as {example!r}) are integers")
    return cut.cast(pl.Int64)


def _all_plain(text: pl.Series) -> bool:
    numbers = text.cast(pl.Int64, strict=False)
    if numbers.null_count() != text.null_count():
        return False
    return bool((numbers.cast(pl.String) == text).all())


def _remark_zeros(column: pl.Series, name: str, log: ReadLog) -> None:
    ids = column.drop_nulls().unique()
    padded = ids.filter(ids.str.contains(r"^0\d"))
    twins = padded.str.replace(r"^0+(\d)", "$1").is_in(ids.implode()).sum() if len(padded) else 0
    if twins:
        log.warn(f"{name}: {twins:,} ids differ from another only in leading zeros; kept apart")
