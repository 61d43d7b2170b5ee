"""A log that is read, kept and sorted in small pieces gives what it gives in one piece."""

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import numpy as np
import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from preparing_toys import Row, frame, log, shuffled

from cigf.data import limits
from cigf.data.options import PrepareOptions
from cigf.data.prepare import PrepareReport, prepare, split_log
from cigf.data.readers import read_events, read_log
from cigf.data.scratch import Scratch
from cigf.data.splitting import Split
from cigf.errors import DataError
from cigf.storage import OutputError

IDS = st.sampled_from(["a", "b", " a", "1", "1", "2", "3", "3.0", "01", "", None])
USERS = st.integers(0, 5).map(str)
VALUES = st.sampled_from(["view", "cart", "buy", "buy", "pv", " view", "share", "odd", None])
TIMES = st.sampled_from(["5", "17", "20", "-3", "3.5", "2020-01-02", "20200102", "soon", None])
DIRTY = st.lists(st.tuples(IDS, IDS, VALUES, TIMES), min_size=1, max_size=30)
CLEAN = st.lists(
    st.tuples(
        USERS,
        st.integers(0, 4).map(str),
        st.sampled_from(["view", "cart", "buy", "buy"]),
        st.integers(0, 30).map(str),
    ),
    min_size=6,
    max_size=60,
)
OPTIONS = st.fixed_dictionaries(
    {
        "on_error": st.sampled_from(["fail", "skip", "skip"]),
        "split": st.sampled_from(["last", "time", "random", "none"]),
        "min_interactions": st.sampled_from([1, 1, 2]),
        "min_behavior": st.sampled_from([None, "buy"]),
        "hold_out": st.sampled_from([None, ("view", "buy")]),
        "valid_share": st.sampled_from([0.0, 0.5]),
        "test_share": st.just(0.3),
        "mapping": st.sampled_from([{}, {"share": "", "odd": "cart"}]),
        "time_col": st.sampled_from([None, None, ""]),
        "n_candidates": st.just(3),
    }
)


@contextmanager
def small_pieces() -> Iterator[None]:
    sizes = {"PIECE_ROWS": 3, "WHOLE_BYTES": 0, "MEMORY_ROWS": 4, "BLOCK_ROWS": 5}
    with mock.patch.multiple(limits, **sizes):
        yield


def made(source: Any, options: PrepareOptions) -> tuple[Split, PrepareReport] | str:
    """The split of a log, or what it is refused for."""
    scratch = Scratch()
    try:
        return split_log(read_log(source, options, scratch), options)
    except DataError as error:
        return str(error)
    finally:
        scratch.close()


def assert_same(found: Any, expected: Any) -> None:
    if isinstance(expected, str) or isinstance(found, str):
        assert found == expected
        return
    (one, report), (other, wanted) = found, expected
    assert report == wanted
    for mine, theirs in zip(one.train.times, other.train.times, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    for mine, theirs in zip(one.withheld, other.withheld, strict=True):
        assert (mine != theirs).nnz == 0
    for part in ("valid", "test"):
        mine, theirs = getattr(one, part), getattr(other, part)
        assert mine.keys() == theirs.keys()
        for name in mine:
            np.testing.assert_array_equal(mine[name].users, theirs[name].users)
            np.testing.assert_array_equal(mine[name].items, theirs[name].items)
    assert one.candidates.keys() == other.candidates.keys()
    for key in one.candidates:
        np.testing.assert_array_equal(one.candidates[key].all, other.candidates[key].all)
        np.testing.assert_array_equal(one.candidates[key].group, other.candidates[key].group)


def as_frame(rows: list[Row]) -> pl.DataFrame:
    return frame([tuple(None if v is None else str(v) for v in row) for row in rows])


def as_parquet(rows: list[Row], folder: Path) -> Path:
    (folder / "log").mkdir()
    whole = as_frame(rows)
    for number, start in enumerate(range(0, len(rows), 8)):
        whole.slice(start, 8).write_parquet(folder / "log" / f"part-{number}.parquet")
    return folder / "log"


def as_csv(rows: list[Row], folder: Path) -> Path:
    as_frame(rows).write_csv(folder / "log.csv")
    return folder / "log.csv"


def as_gzip(rows: list[Row], folder: Path) -> Path:
    path = as_csv(rows, folder).with_suffix(".csv.gz")
    path.write_bytes(gzip.compress((folder / "log.csv").read_bytes()))
    return path


@settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(
    st.one_of(DIRTY, CLEAN, CLEAN),
    OPTIONS,
    st.sampled_from([as_parquet, as_csv, as_gzip, lambda rows, _: as_frame(rows)]),
)
def test_pieces_give_what_the_whole_gives(
    rows: list[Row], chosen: dict[str, Any], write: Callable[..., Any]
) -> None:
    options = PrepareOptions.parse(chosen)
    with TemporaryDirectory() as folder:
        source = write(rows, Path(folder))
        expected = made(source, options)
        with small_pieces():
            assert_same(made(source, options), expected)


@settings(max_examples=20, deadline=None)
@given(CLEAN, st.sampled_from([pl.Int32, pl.UInt64, pl.Float64, pl.Categorical]))
def test_ids_of_any_type_come_in_pieces(rows: list[Row], dtype: Any) -> None:
    source = as_frame(rows).with_columns(pl.col("user_id").cast(dtype, strict=False))
    options = PrepareOptions(split="none")
    expected = made(source, options)
    with small_pieces():
        assert_same(made(source, options), expected)
        assert_same(made(source.lazy(), options), expected)


def test_events_come_in_the_log_s_order() -> None:
    rows = shuffled(log())
    with small_pieces():
        events = read_events(frame(rows), PrepareOptions()).events
    assert events.with_columns(pl.col("behavior").cast(pl.String)).rows() == [
        (*row[:3], row[3] * 1000) for row in rows
    ]


@pytest.mark.parametrize(
    "line", ["7,i01,view", "7,i01,view,12,3", '7,"i01,view,12', "\n", "7,i\udcff,view,12"]
)
def test_bad_lines_far_down_are_named_by_their_number(tmp_path: Path, line: str) -> None:
    as_csv(log(), tmp_path)
    with (tmp_path / "log.csv").open("a", encoding="utf-8", errors="surrogateescape") as file:
        file.write(line + "\n7,i01,view,12\n")
    results = []
    for on_error in ("fail", "skip"):
        options = PrepareOptions(on_error=on_error)
        expected = made(tmp_path / "log.csv", options)
        with small_pieces():
            assert_same(made(tmp_path / "log.csv", options), expected)
        results.append(expected)
    n_lines = len(log()) + 2
    assert line == "\n" or f"line {n_lines}" in results[0]


def test_a_large_log_prepares_beside_its_output_and_leaves_nothing_else(tmp_path: Path) -> None:
    source = as_parquet(shuffled(log()), tmp_path)
    with small_pieces():
        report = prepare(source, tmp_path / "new" / "dataset", PrepareOptions())
    assert report.n_events == len(log())
    assert {path.name for path in tmp_path.iterdir()} == {"log", "new"}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["dataset"]


def test_a_disk_that_is_full_is_one_clear_error(tmp_path: Path) -> None:
    source = as_parquet(shuffled(log()), tmp_path)
    full = OSError(28, "No space left on device")
    with (
        small_pieces(),
        mock.patch("tempfile.TemporaryFile", side_effect=full),
        pytest.raises(OutputError, match="no space left on the device"),
    ):
        prepare(source, tmp_path / "dataset", PrepareOptions())
    assert not (tmp_path / "dataset").exists()
