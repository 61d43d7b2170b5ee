import gzip

import polars as pl
import pytest

from cigf.cli.writing import check_output, write_parts, write_pieces, write_table
from cigf.errors import ConfigError, OutputError

FRAME = pl.DataFrame({"user_id": ["a", "b"], "item_id": [1, 2], "score": [0.5, -1.0]})
READERS = {
    ".parquet": pl.read_parquet,
    ".csv": pl.read_csv,
    ".csv.gz": lambda path: pl.read_csv(gzip.decompress(path.read_bytes())),
    ".jsonl": pl.read_ndjson,
}


@pytest.mark.parametrize("ending", READERS)
def test_what_is_written_is_read_back(tmp_path, ending):
    path = tmp_path / f"recs{ending}"
    write_table(FRAME, path, force=False)
    assert READERS[ending](path).equals(FRAME)


@pytest.mark.parametrize("ending", READERS)
def test_equal_tables_give_equal_bytes(tmp_path, ending):
    paths = [tmp_path / f"{name}{ending}" for name in "ab"]
    for path in paths:
        write_table(FRAME, path, force=False)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_an_unknown_ending_is_refused_before_any_work(tmp_path):
    with pytest.raises(ConfigError, match=r"recs\.parqet: unknown ending; did you mean \.parquet"):
        check_output(tmp_path / "recs.parqet", force=True)


def test_an_existing_file_is_replaced_only_by_force(tmp_path):
    path = tmp_path / "recs.csv"
    write_table(FRAME, path, force=False)
    with pytest.raises(OutputError, match="exists already"):
        write_table(FRAME.head(1), path, force=False)
    write_table(FRAME.head(1), path, force=True)
    assert pl.read_csv(path).height == 1


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_is_not_replaced_by_a_file(tmp_path, force):
    (tmp_path / "recs.csv").mkdir()
    with pytest.raises(OutputError, match=r"recs\.csv is a folder; choose another name"):
        write_table(FRAME, tmp_path / "recs.csv", force)
    assert [path.name for path in tmp_path.iterdir()] == ["recs.csv"]


@pytest.mark.parametrize("ending", READERS)
def test_pieces_become_one_table(tmp_path, ending):
    path = tmp_path / f"log{ending}"
    write_pieces(iter([FRAME, FRAME.head(1), FRAME]), path, force=False)
    assert READERS[ending](path).equals(pl.concat([FRAME, FRAME.head(1), FRAME]))


@pytest.mark.parametrize("rows", [1, 2, 7, 20])
def test_parts_hold_the_rows_in_their_order(tmp_path, rows):
    whole = pl.DataFrame({"n": range(23)})
    pieces = [whole.slice(start, rows) for start in range(0, 23, rows)]
    write_parts(iter(pieces), [11, 5, 7], tmp_path / "log", force=False)
    files = sorted((tmp_path / "log").iterdir())
    assert [file.name for file in files] == [f"part-{n:05d}.parquet" for n in range(3)]
    frames = [pl.read_parquet(file) for file in files]
    assert [frame.height for frame in frames] == [11, 5, 7]
    assert pl.concat(frames).equals(whole)


def interrupted(error):
    yield FRAME
    raise error


FULL = OSError(28, "No space left on device")
FULL_IN_POLARS = pl.exceptions.ComputeError("underlying IO error: No space left (os error 28)")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), FULL, FULL_IN_POLARS])
@pytest.mark.parametrize("ending", READERS)
def test_what_stops_in_between_leaves_nothing(tmp_path, ending, error):
    with pytest.raises((KeyboardInterrupt, OutputError)):
        write_pieces(interrupted(error), tmp_path / f"log{ending}", force=False)
    with pytest.raises((KeyboardInterrupt, OutputError)):
        write_parts(interrupted(error), [2, 2], tmp_path / "parts", force=False)
    assert list(tmp_path.iterdir()) == []


class AsPolars1:
    """How Polars 1 takes what stops the pieces of a table."""

    def __init__(self, read, schema):
        self.read = read

    def sink_parquet(self, file, maintain_order):
        try:
            list(self.read())
        except BaseException as error:
            raise pl.exceptions.ComputeError(f"caught exception: {error}") from None
        raise pl.exceptions.ComputeError("underlying IO error: No space left (os error 28)")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("no number")])
def test_what_polars_1_hides_is_told(tmp_path, monkeypatch, error):
    monkeypatch.setattr("cigf.cli.writing.register_io_source", AsPolars1)
    with pytest.raises(type(error)):
        write_pieces(interrupted(error), tmp_path / "log.parquet", force=False)
    with pytest.raises(OutputError, match="no space left"):
        write_pieces(iter([FRAME]), tmp_path / "log.parquet", force=False)
    assert list(tmp_path.iterdir()) == []
