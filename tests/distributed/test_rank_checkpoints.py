"""Which checkpoint ranks go on from. What is in them: `test_rank_runs`."""

from dataclasses import asdict

import pytest
import torch
from on_threads import on_threads
from torch import distributed
from torch.distributed.checkpoint.api import CheckpointException

from cigf.distributed import checkpoints as module
from cigf.distributed.checkpoints import RankCheckpoints
from cigf.distributed.exchange import GroupRanks
from cigf.distributed.model import RankModel
from cigf.distributed.partition import Partition
from cigf.errors import OutputError, RankLostError
from cigf.models.base import Sizes
from cigf.models.registry import build_model, parse_model_config
from cigf.storage import write_json
from cigf.testing.toy import random_matrices
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


@pytest.fixture
def ranks():
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield GroupRanks(distributed.group.WORLD)
    distributed.destroy_process_group()


@pytest.fixture
def part(ranks):
    matrices = random_matrices(n_users=5, n_items=7)
    sizes = Sizes(5, 7, len(matrices))
    model = build_model("lightgcn", parse_model_config("lightgcn", {"embedding_size": 3}), sizes, 0)
    return RankModel(model, Partition.by_edges(matrices, 1), ranks)


LOST = RankLostError("told to stop")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (RuntimeError("[pair.cc:553] Connection closed by peer"), RankLostError),
        (CheckpointException("", {0: (OSError(), None), 1: (LOST, None)}), RankLostError),
        (CheckpointException("", {1: (KeyboardInterrupt(), None)}), KeyboardInterrupt),
    ],
)
def test_a_rank_that_ends_while_a_checkpoint_is_shared(
    ranks, part, tmp_path, monkeypatch, wrong, told
):
    checkpoints = RankCheckpoints(tmp_path, "mine", ranks)
    checkpoints.save_best(Progress(epoch=1), part)

    def broken(state, **options):
        raise wrong

    for name, work in (
        ("save", lambda: checkpoints.save_best(Progress(epoch=2), part)),
        ("load", lambda: checkpoints.restore_best(part)),
    ):
        monkeypatch.setattr(module, name, broken)
        with pytest.raises(told):
            work()


def test_checkpoints_make_no_group_of_their_own(ranks, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    before = len(distributed.distributed_c10d._world.pg_map)
    assert RankCheckpoints(tmp_path, "mine", ranks)._mesh.size() == 1
    assert len(distributed.distributed_c10d._world.pg_map) == before


def test_a_full_disk_is_told_and_leaves_the_checkpoint_before(ranks, part, tmp_path, monkeypatch):
    checkpoints = RankCheckpoints(tmp_path, "mine", ranks)
    checkpoints.save_best(Progress(epoch=1), part)
    before = {name: x.clone() for name, x in part.state().items()}
    part.inner.user_embedding.data.add_(1.0)

    def full(tensors, metadata=None):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("safetensors.torch.save", full)
        with pytest.raises(
            OutputError, match=r"best-2-0: the checkpoint cannot be written \(.*No sp"
        ):
            checkpoints.save_best(Progress(epoch=2), part)
    checkpoints.restore_best(part)
    for name, x in part.state().items():
        assert torch.equal(x, before[name])
