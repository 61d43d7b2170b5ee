"""Data frames as sources: Polars, pandas, Arrow, or a mapping of columns."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from cigf.data.table import Table
from cigf.errors import DataError


def read_frame(source: Any) -> Table:
    """Return a data frame of any supported library as a table.

    Raises:
        DataError: It is no data frame.
    """
    return Table(to_polars(source), "data frame", "row", 0)


def to_polars(source: Any) -> pl.DataFrame:
    """Convert a data frame to Polars; see `read_frame`."""
    if isinstance(source, pl.DataFrame):
        return source
    if isinstance(source, pl.LazyFrame):
        return source.collect()
    if type(source).__module__.partition(".")[0] == "pandas" and hasattr(source, "columns"):
        return pl.DataFrame([_from_pandas(str(name), source[name]) for name in source.columns])
    if isinstance(source, Mapping) or hasattr(source, "__arrow_c_stream__"):
        return pl.DataFrame(source)
    raise DataError(
        f"source of type {type(source).__name__}; allowed are paths, globs, database URIs, and "
        "Polars, pandas or Arrow frames"
    )


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
    kinds = {type(value) for value in values} - {type(None)}
    if len(kinds) > 1:  # ids such as 17 and "17" side by side
        return pl.Series(name, [None if v is None else str(v) for v in values], dtype=pl.String)
    return pl.Series(name, values, strict=False)
