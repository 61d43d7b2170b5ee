"""Telling by its first bytes that a file is not what its name says."""

from pathlib import Path

from cigf.errors import DataError

GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"
PARQUET = b"PAR1"

KINDS = (
    (GZIP, "a gzip file"),
    (ZSTD, "a Zstandard file"),
    (PARQUET, "a Parquet file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"ARROW1", "an Arrow file"),
    (b"PK\x03\x04", "a zip archive or a spreadsheet"),
    (b"\x80", "a Python pickle"),
    (b"\xff\xfe", "UTF-16 text; save it as UTF-8"),
    (b"\xfe\xff", "UTF-16 text; save it as UTF-8"),
    (b"%PDF", "a PDF document"),
)
"""First bytes -> what such a file is."""


def check_content(path: Path, magic: bytes | None, name: str) -> None:
    """Check a file's first bytes.

    Args:
        path: The file.
        magic: The bytes it must begin with; None: it must be text.
        name: What it should be, such as "a Parquet file".

    Raises:
        DataError: The file is empty, cannot be opened or is of another kind.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(16)
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror})") from None
    if not head:
        raise DataError(f"{path}: the file is empty")
    kind = next((kind for start, kind in KINDS if head.startswith(start)), None)
    wrong = not head.startswith(magic) if magic else kind is not None
    if wrong:
        found = f"it looks like {kind}" if kind else f"it begins with {head[:8]!r}"
        raise DataError(f"{path}: not {name}, as its name says; {found}")


def check_text(path: Path) -> None:
    """Check that a file is text, or compressed as its suffix says; see `check_content`."""
    suffix = path.suffix.lower()
    if suffix == ".gz":
        check_content(path, GZIP, "a gzip file")
    elif suffix == ".zst":
        check_content(path, ZSTD, "a Zstandard file")
    else:
        check_content(path, None, "a text file")
