"""Published data sets by name -> a dataset folder: download (or take a given file), then import."""

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from cigf.data.catalog import Published, find_published
from cigf.data.imports import ImportOptions, import_release
from cigf.data.prepare import PrepareReport, prepare_interactions
from cigf.data.readers import read_events
from cigf.data.schema import BEHAVIOR, ITEM, TIME, USER, Interactions
from cigf.data.transfer import Progress, Retries, transfer
from cigf.errors import DataError
from cigf.storage import explain_os_errors, refuse_existing

TAOBAO_COLUMNS = (USER, ITEM, "category_id", BEHAVIOR, TIME)
"""UserBehavior.csv has no header line."""
IJCAI15_ACTIONS = {"0": "view", "1": "cart", "2": "buy", "3": "fav"}
IJCAI15_LOG = "user_log_format1.csv"
IJCAI15_YEAR = 2014
"""The log gives month and day; it ends with the sales day of 11 November 2014."""


def fetch(
    name: str,
    out: Path,
    *,
    from_file: Path | None = None,
    options: ImportOptions | None = None,
    retries: Retries | None = None,
    progress: Progress | None = None,
) -> PrepareReport:
    """Make a dataset of a published data set.

    Downloads go to `<out>.download/<name>`, where a call for the same data set that was interrupted
    finds them again; `<out>.download` goes away when the dataset is written.

    Args:
        name: A key of `catalog.CATALOG`.
        out: The dataset folder to write.
        from_file: The data as a person has downloaded it: a log, its zip archive or the folder
            unpacked from that (Tianchi), or a folder of matrices (MB-GMN).
        options: Behaviors, cleaning, split. Unless it says otherwise, rows and test pairs that
            cannot be used are left out and counted, because nobody can mend a published file.
        retries: What to do when a connection breaks.
        progress: Told how far each file is.

    Raises:
        DataError: The name is unknown, the data needs a login, or a file is not what it should be.
        OutputError: `out` exists, or cannot be written.
    """
    entry = find_published(name)
    options = options or ImportOptions()
    if "on_error" not in options.model_fields_set:
        options = options.model_copy(update={"on_error": "skip"})
    refuse_existing(out, options.force)
    if from_file is not None:
        return _import(entry, from_file, out, options)
    if not entry.files:
        raise DataError(
            f"{name}: stands behind a login; get {entry.by_hand} from {entry.page} "
            "and pass it with --from-file"
        )
    downloads = out.with_name(out.name + ".download")
    folder = downloads / name  # file names are the same in several data sets
    for file in entry.files:
        transfer(file, folder / file.name, retries=retries, progress=progress)
    report = _import(entry, folder, out, options)
    shutil.rmtree(downloads)
    return report


def _import(entry: Published, source: Path, out: Path, options: ImportOptions) -> PrepareReport:
    if not source.exists():
        raise DataError(f"{source}: no such file or folder")
    if entry.layout == "mbgmn":
        return import_release("mbgmn", source, out, options)
    if not options.behaviors:
        options = options.model_copy(update={"behaviors": entry.behaviors})
    read = _read_taobao if entry.layout == "taobao" else _read_ijcai15
    member = "UserBehavior.csv" if entry.layout == "taobao" else IJCAI15_LOG
    with _unpacked(source, member, out) as log:
        interactions = read(log, options)
    return prepare_interactions(interactions, None, out, options)


@contextmanager
def _unpacked(source: Path, member: str, out: Path) -> Iterator[Path]:
    """Yield the log itself: `source`, or `member` of it, unpacked beside `out` for a while."""
    if source.is_dir():
        logs = sorted(source.rglob(member))
        if not logs:
            raise DataError(f"{source}: no {member} in this folder")
        yield logs[0]
        return
    if not zipfile.is_zipfile(source):
        yield source
        return
    with zipfile.ZipFile(source) as archive:
        found = [name for name in archive.namelist() if name.rpartition("/")[2] == member]
        if not found:
            raise DataError(f"{source}: no {member} in this archive")
        with explain_os_errors(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
                log = Path(folder) / member
                _unpack(archive, found[0], log, source)
                yield log


def _unpack(archive: zipfile.ZipFile, name: str, log: Path, source: Path) -> None:
    try:
        with archive.open(name) as packed, log.open("wb") as plain:
            shutil.copyfileobj(packed, plain, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DataError(f"{source}: damaged archive ({error}); download it again") from None


def _read_taobao(log: Path, options: ImportOptions) -> Interactions:
    update = {"column_names": TAOBAO_COLUMNS}
    return read_events(log, options.model_copy(update=update))


def _read_ijcai15(log: Path, options: ImportOptions) -> Interactions:
    columns = (USER, ITEM, "time_stamp", "action_type")
    day = pl.col("time_stamp").cast(pl.Int64, strict=False)
    try:
        frame = pl.read_csv(log, columns=columns, infer_schema=False, glob=False).select(
            USER,
            ITEM,
            pl.col("action_type").replace_strict(IJCAI15_ACTIONS, default=None).alias(BEHAVIOR),
            (pl.lit(IJCAI15_YEAR * 10_000) + day)
            .cast(pl.String)
            .str.to_date("%Y%m%d", strict=False)
            .alias(TIME),
        )
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(
            f"{log.name}: not the log of IJCAI-15: {str(error).splitlines()[0]}; columns "
            f"{', '.join(columns)} are needed"
        ) from None
    return read_events(frame, options)
