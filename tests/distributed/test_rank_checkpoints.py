"""Which checkpoint ranks go on from. What is in them: `test_rank_runs`."""

from dataclasses import asdict

import pytest
from on_threads import on_threads

from cigf.distributed.checkpoints import RankCheckpoints
from cigf.storage import write_json
from cigf.training.checkpoints import Progress
from cigf.training.shards import ShardFolder, pointer


@pytest.fixture
def folders(tmp_path):
    """Two views of a shared folder, of which one comes late."""
    for name in ("now", "late"):
        (tmp_path / name).mkdir()
    metadata = {"folder": "last-2-0", "progress": asdict(Progress(epoch=2))}
    write_json(pointer(tmp_path / "now", "last"), metadata)
    (tmp_path / "now" / "best.safetensors").write_bytes(b"")
    return tmp_path / "now", tmp_path / "late"


def found_by(folders, name):
    return on_threads(2, lambda ranks: RankCheckpoints(folders[ranks.rank], "", ranks)._where(name))


def test_all_ranks_go_on_from_what_rank_0_sees(folders):
    for folder, found in zip(folders, found_by(folders, "last"), strict=True):
        assert isinstance(found, ShardFolder)
        assert found.path == folder / "last-2-0"
        assert found.progress["epoch"] == 2
    files = [folder / "best.safetensors" for folder in folders]
    assert found_by(folders, "best") == files


def test_what_rank_0_does_not_see_is_not_there(folders):
    for name in ("last", "best"):
        assert found_by(folders[::-1], name) == [None, None]
