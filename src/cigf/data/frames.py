"""Data frames as sources: Polars, pandas, Arrow, or a mapping of columns."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from cigf.data.table import Table, Wanted, pieces_of, scanned
from cigf.errors import DataError


def read_frame(source: Any, wanted: Wanted) -> Table:
    """Return a data frame of any supported library as a table.

    Raises:
        DataError: It is no data frame.
    """
    if type(source).__module__.partition(".")[0] == "pandas" and hasattr(source, "columns"):
        names = {str(name): name for name in source.columns}
        used = wanted(list(names))
        _check_single(used, [str(name) for name in source.columns])
        frame = pl.DataFrame([_from_pandas(name, source[names[name]]) for name in used])
        return Table(pieces_of(frame), tuple(names), "data frame", "row", 0)
    lazy = _to_lazy(source)
    columns = lazy.collect_schema().names()
    chosen = lazy.select(wanted(columns))
    pieces = scanned(chosen) if isinstance(source, pl.LazyFrame) else pieces_of(chosen.collect())
    return Table(pieces, tuple(columns), "data frame", "row", 0)


def _to_lazy(source: Any) -> pl.LazyFrame:
    if isinstance(source, pl.LazyFrame | pl.DataFrame):
        return source.lazy()
    if isinstance(source, Mapping) or hasattr(source, "__arrow_c_stream__"):
        return pl.DataFrame(source).lazy()
    raise DataError(
        f"source of type {type(source).__name__}; allowed are paths, globs, database URIs, and "
        "Polars, pandas or Arrow frames"
    )


def _check_single(used: Sequence[str], names: Sequence[str]) -> None:
    for name in used:
        if names.count(name) > 1:
            raise DataError(f"data frame: column {name!r} stands twice; rename one")


def _from_pandas(name: str, column: Any) -> pl.Series:
    """Convert a pandas column without pyarrow, which pandas may lack."""
    dtype = str(column.dtype)
    if dtype.startswith("datetime64"):
        if getattr(column.dt, "tz", None) is not None:
            column = column.dt.tz_convert("UTC").dt.tz_localize(None)
        return pl.Series(name, column.to_numpy().astype("datetime64[ms]"))
    if dtype.startswith(("int", "uint", "float")):
        return pl.Series(name, column.to_numpy())
    values = [None if missing else v for v, missing in zip(column, column.isna(), strict=True)]
    if len({type(value) for value in values} - {type(None)}) <= 1:
        try:
            series = pl.Series(name, values, strict=False)
        except pl.exceptions.PolarsError:  # such as times of several zones
            series = pl.Series(name, values, dtype=pl.Object)
        if series.dtype != pl.Object:
            return series
    # Ids such as 17 and "17" side by side, or objects that only pandas can hold, such as UUIDs.
    return pl.Series(name, [None if v is None else str(v) for v in values], dtype=pl.String)
