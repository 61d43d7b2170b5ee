"""The lines of a text file, plain or compressed, with broken UTF-8 replaced: for diagnosis."""

from pathlib import Path

import polars as pl

from cigf.errors import DataError

REPLACEMENT = "\ufffd"
"""Stands where bytes were not UTF-8."""

NO_SEPARATOR = "\x1f"


def read_lines(path: Path, n_lines: int | None = None) -> pl.Series:
    """Return a file's lines; an empty line is "".

    Raises:
        DataError: The file is empty, or its compression is broken.
    """
    try:
        frame = pl.scan_csv(
            path,
            separator=NO_SEPARATOR,
            has_header=False,
            quote_char=None,
            infer_schema=False,
            encoding="utf8-lossy",
            truncate_ragged_lines=True,
            n_rows=n_lines,
            glob=False,
        ).collect()
    except pl.exceptions.NoDataError:
        raise DataError(f"{path}: the file is empty") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise broken_file(path, error) from None
    return frame.to_series().fill_null("")


def broken_file(path: Path, error: Exception) -> DataError:
    """Return the error for a file that cannot be decompressed or opened."""
    compressed = {".gz": "broken gzip file", ".zst": "broken Zstandard file"}
    what = compressed.get(path.suffix.lower(), "cannot be read")
    reason = str(error).splitlines()[0]
    return DataError(f"{path}: {what} ({reason}); copy or download it again")
