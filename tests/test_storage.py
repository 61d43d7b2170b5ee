from pathlib import Path

import pytest

from cigf.errors import OutputError
from cigf.experiment.folder import RunFolder
from cigf.storage import new_folder


def write_folder(path: Path) -> None:
    with new_folder(path, force=True) as folder:
        (folder / "new").touch()


def begin_run(path: Path) -> None:
    RunFolder(path).begin(force=True)
    (path / "new").touch()


@pytest.mark.parametrize("write", [write_folder, begin_run])
@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path, write, exists):
    folder = tmp_path / "disk" / "folder"
    if exists:
        folder.mkdir(parents=True)
        (folder / "old").touch()
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert {path.name for path in tmp_path.iterdir()} == {"disk", "link"}
    assert [path.name for path in folder.parent.iterdir()] == ["folder"]


@pytest.mark.parametrize("write", [write_folder, begin_run])
@pytest.mark.parametrize("name", [".", "..", "../here"])
def test_the_folder_one_is_in_is_never_replaced(tmp_path, monkeypatch, write, name):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "old").touch()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(OutputError, match="holds the folder that you are in; choose another name"):
        write(Path(name))
    assert [path.name for path in tmp_path.rglob("*")] == ["here", "old"]
