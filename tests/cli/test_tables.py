import polars as pl
import pytest

from cigf.cli.tables import read_ids
from cigf.errors import DataError

FRAME = pl.DataFrame({"user_id": ["a", "b"], "item_id": [1, 2], "score": [0.5, -1.0]})


def test_ids_one_per_line(tmp_path):
    path = tmp_path / "users.txt"
    path.write_text("u1\n\n 007 \nä b\n", encoding="utf-8")
    assert read_ids(path, "user_id").to_list() == ["u1", "007", "ä b"]


@pytest.mark.parametrize(("name", "separator"), [("x.csv", ","), ("x.tsv", "\t")])
def test_ids_of_a_table_with_a_header(tmp_path, name, separator):
    path = tmp_path / name
    path.write_text(f"item_id{separator}user_id\n5{separator}007\n6{separator}8\n")
    assert read_ids(path, "user_id").to_list() == ["007", "8"]


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffuser_id,x\n007,1\n8,2\n",
        '"user_id","x"\n"007",1\n"8",2\n',
        "\nx, user_id\n1, 007 \n2,8\n",
        "user_id;x\n007;1\n8;2\n",
        "user_id\r\n007\r\n8\r\n",
    ],
)
def test_a_header_is_found_however_the_table_was_written(tmp_path, content):
    (tmp_path / "x.csv").write_bytes(content.encode())
    assert read_ids(tmp_path / "x.csv", "user_id").to_list() == ["007", "8"]


def test_lines_end_where_a_line_ends_and_nowhere_else(tmp_path):
    ids = ["a\u2028b", "x\x0by", "p\x85q"]
    (tmp_path / "x.txt").write_bytes(("\ufeff" + "\r\n".join(ids)).encode())
    assert read_ids(tmp_path / "x.txt", "user_id").to_list() == ids


def test_ids_of_a_parquet_file(tmp_path):
    FRAME.write_parquet(tmp_path / "x.parquet")
    assert read_ids(tmp_path / "x.parquet", "item_id").to_list() == [1, 2]
    with pytest.raises(DataError, match="column 'name' not found"):
        read_ids(tmp_path / "x.parquet", "name")


def test_ids_of_a_file_with_a_pattern_s_marks_in_its_name(tmp_path):
    FRAME.write_parquet(tmp_path / "x[1].parquet")
    FRAME.write_csv(tmp_path / "x[1].csv")
    assert read_ids(tmp_path / "x[1].parquet", "user_id").to_list() == ["a", "b"]
    assert read_ids(tmp_path / "x[1].csv", "user_id").to_list() == ["a", "b"]


def test_ids_of_a_missing_file(tmp_path):
    with pytest.raises(DataError, match="nobody: no such file"):
        read_ids(tmp_path / "nobody", "user_id")


@pytest.mark.parametrize("content", ["", "\n\n", "user_id\n"])
def test_a_file_without_ids(tmp_path, content):
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(DataError, match="holds no ids"):
        read_ids(tmp_path / "x.csv", "user_id")
    assert read_ids(tmp_path / "x.csv", "user_id", may_be_empty=True).to_list() == []


def test_a_column_that_cannot_hold_ids(tmp_path):
    pl.DataFrame({"user_id": [["a"], ["b"]]}).write_parquet(tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"column user_id holds List\(String\); ids must be"):
        read_ids(tmp_path / "x.parquet", "user_id")


@pytest.mark.parametrize("name", ["x.txt", "x.parquet"])
def test_a_file_of_another_kind(tmp_path, name):
    (tmp_path / name).write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DataError, match="cannot be read"):
        read_ids(tmp_path / name, "user_id")
