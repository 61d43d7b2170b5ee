"""CSV and TSV files: all columns as text, and exact words about what is broken."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from cigf.data import limits
from cigf.data.lines import REPLACEMENT, broken_file, read_lines
from cigf.data.read_log import ReadLog, first_rows
from cigf.data.sniffing import check_text
from cigf.data.table import Reread, Table, Wanted, pieces_of, scanned
from cigf.errors import DataError

SEPARATORS = (",", "\t", ";", "|")
IsHeader = Callable[[Sequence[str]], bool]
"""Tells of the fields of a first line whether they are the names of the columns."""
_PACKING = 4
"""How many times smaller compressed text is, about."""


@dataclass(frozen=True)
class _Layout:
    """How a file's lines are divided into named fields."""

    path: Path
    separator: str
    column_names: tuple[str, ...] | None
    n_blank: int = 0
    """Empty lines before all others."""

    @property
    def first(self) -> int:
        """The line of the first row."""
        return self.n_blank + (2 if self.column_names is None else 1)

    def scan(self, source: Path | bytes) -> pl.LazyFrame:
        """Return the rows, all columns as text; blanks around column names do not count."""
        lazy = pl.scan_csv(
            source,
            separator=self.separator,
            has_header=self.column_names is None,
            new_columns=None if self.column_names is None else list(self.column_names),
            infer_schema=False,
            skip_lines=self.n_blank,
            glob=False,
        )
        names = lazy.collect_schema().names()
        stripped = [name.strip() for name in names]
        if stripped == names or len(set(stripped)) < len(names):
            return lazy
        return lazy.rename(dict(zip(names, stripped, strict=True)))


def read_delimited(
    path: Path,
    column_names: tuple[str, ...] | None,
    log: ReadLog,
    wanted: Wanted,
    is_header: IsHeader | None = None,
) -> Table:
    """Read a file with one row per line; all columns come as text.

    Lines with too few or too many fields, unclosed quotation marks or bytes that are not UTF-8
    are bad rows. Empty lines do not count.

    Args:
        path: The file, plain, .gz or .zst.
        column_names: Names of the columns where there is no header line.
        log: Where bad rows are reported.
        wanted: Chooses the columns that are read.
        is_header: Tells that the first line is a header after all; None: it never is.

    Raises:
        DataError: The file is empty, broken or of another format, or has bad rows and they are not
            to be skipped.
    """
    check_text(path)
    layout = _layout(path, column_names, is_header)
    if _n_bytes(path) <= limits.WHOLE_BYTES:
        return _read_whole(layout, log, wanted)
    try:
        lazy, names = _scan(layout, path, wanted)
    except (OSError, pl.exceptions.PolarsError):
        return _read_whole(layout, log, wanted)

    def read() -> Iterator[pl.DataFrame]:
        # What is wrong is found out with all lines at hand; a sound file needs only a few of them.
        try:
            for piece in scanned(lazy)():
                if not _is_complete(piece):
                    raise Reread(_read_whole(layout, log, wanted))
                yield piece
        except (OSError, pl.exceptions.PolarsError):
            raise Reread(_read_whole(layout, log, wanted)) from None

    return Table(read, names, str(path), "line", layout.first)


def _n_bytes(path: Path) -> int:
    """Return about how many bytes of text a file holds."""
    packed = path.suffix.lower() in (".gz", ".zst")
    return path.stat().st_size * (_PACKING if packed else 1)


def _read_whole(layout: _Layout, log: ReadLog, wanted: Wanted) -> Table:
    path = layout.path
    try:
        found = _collect(layout, path, wanted)
        return _without_short_lines(found, layout, log)
    except OSError as error:
        raise broken_file(path, error) from None
    except pl.exceptions.NoDataError:
        raise DataError(f"{path}: the file is empty") from None
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
    try:
        return _collect(layout, _good_lines(layout, log), wanted).table(layout)
    except pl.exceptions.PolarsError:
        raise DataError(f"{path}: cannot be read as CSV ({reason})") from None


def _layout(
    path: Path, column_names: tuple[str, ...] | None, is_header: IsHeader | None
) -> _Layout:
    head, n_blank = _first_line(path)
    separator = _separator(path, head)
    count = _n_fields(head, separator)
    if column_names is not None and is_header is not None:
        names = [name.strip(' "') for name in head.split(separator)]
        column_names = None if is_header(names) else column_names
    if column_names is not None and len(column_names) != count:
        or_header = "" if is_header is None else ", or the file a header of its own"
        raise DataError(
            f"{path}: its first line has {count} fields, {len(column_names)} column names were "
            f"given ({', '.join(column_names)}); give one name per field{or_header}"
        )
    return _Layout(path, separator, column_names, n_blank)


def _first_line(path: Path) -> tuple[str, int]:
    """Return the first line that is not empty, and how many are before it."""
    head = read_lines(path, 1)
    if len(head) and not head[0]:
        head = read_lines(path)
    n_blank = int((head != "").arg_max() or 0)
    line = str(head[n_blank]).lstrip("\ufeff") if len(head) else ""
    if line.startswith(("{", "[")):
        raise DataError(f"{path}: not CSV, as its name says; it looks like JSON (name it .jsonl)")
    if line.startswith("<"):
        raise DataError(f"{path}: not CSV, as its name says; it looks like HTML or XML")
    return line, n_blank


def _separator(path: Path, head: str) -> str:
    if ".tsv" in (suffix.lower() for suffix in path.suffixes):
        return "\t"
    return max(SEPARATORS, key=lambda mark: (_n_fields(head, mark), -SEPARATORS.index(mark)))


def _n_fields(line: str, separator: str) -> int:
    return re.sub(r'"[^"]*"', "", line).count(separator) + 1


@dataclass(frozen=True, eq=False)
class _Found:
    """The wanted columns of all rows, and the names of all columns."""

    frame: pl.DataFrame
    columns: tuple[str, ...]

    def table(self, layout: _Layout) -> Table:
        pieces = pieces_of(self.frame)
        return Table(pieces, self.columns, str(layout.path), "line", layout.first)


def _scan(
    layout: _Layout, source: Path | bytes, wanted: Wanted
) -> tuple[pl.LazyFrame, tuple[str, ...]]:
    """Choose the wanted columns, and the last one, by which short and empty lines are noticed."""
    lazy = layout.scan(source)
    names = lazy.collect_schema().names()
    return lazy.select(list(dict.fromkeys([*wanted(names), names[-1]]))), tuple(names)


def _collect(layout: _Layout, source: Path | bytes, wanted: Wanted) -> _Found:
    lazy, names = _scan(layout, source, wanted)
    return _Found(lazy.collect(), names)


def _is_complete(frame: pl.DataFrame) -> bool:
    """Whether no row but empty lines lacks its last field."""
    unfinished = frame.filter(frame[:, -1].is_null())
    return bool(unfinished.select(pl.all_horizontal(pl.all().is_null()).all()).item())


def _without_short_lines(found: _Found, layout: _Layout, log: ReadLog) -> Table:
    """Report and leave out rows that Polars filled up with nulls."""
    if _is_complete(found.frame):
        return found.table(layout)
    lines = read_lines(layout.path).slice(layout.first - 1)
    bad = _bad_lines(lines, layout.separator, len(found.columns))
    if len(lines) != found.frame.height or bad["unclosed quotation mark"].any():
        return found.table(layout)  # rows go over several lines, so lines say nothing about rows
    kept = found.frame.filter(~_report(bad, layout, log))
    return replace(found, frame=kept).table(layout)


def _good_lines(layout: _Layout, log: ReadLog) -> bytes:
    """Find the lines that cannot be parsed, report them, and return the others."""
    lines = read_lines(layout.path)
    head, body = lines.head(layout.first - 1), lines.slice(layout.first - 1)
    bad = _bad_lines(
        body, layout.separator, _n_fields(str(lines[layout.n_blank]), layout.separator)
    )
    good = body.filter(~_report(bad, layout, log))
    return "\n".join([*head, *good, ""]).encode()


def _report(bad: dict[str, pl.Series], layout: _Layout, log: ReadLog) -> pl.Series:
    """Report bad lines, and return which lines are bad for any reason."""
    for reason, rows in bad.items():
        where = first_rows(rows, "line", layout.first)
        log.bad_rows(reason, str(layout.path), int(rows.sum()), where)
    return pl.DataFrame(bad).select(pl.any_horizontal(pl.all())).to_series()


def _bad_lines(lines: pl.Series, separator: str, expected: int) -> dict[str, pl.Series]:
    """Return reason -> which lines are bad for it; a line is bad for one reason only."""
    broken = lines.str.contains(REPLACEMENT, literal=True)
    unclosed = ~broken & (lines.str.count_matches('"', literal=True) % 2 == 1)
    bare = lines.str.replace_all(r'"[^"]*"', "")
    n_fields = bare.str.count_matches(separator, literal=True).cast(pl.Int64) + 1
    countable = ~broken & ~unclosed & (lines != "")
    return {
        "not UTF-8": broken,
        "unclosed quotation mark": unclosed,
        f"too few fields (fewer than {expected})": countable & (n_fields < expected),
        f"too many fields (more than {expected})": countable & (n_fields > expected),
    }
