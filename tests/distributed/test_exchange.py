"""What ranks say to each other, through Gloo and through shared memory."""

import re
from datetime import timedelta

import pytest
import torch
from on_threads import on_threads

from cigf.distributed import exchange
from cigf.distributed import memory as memory_module
from cigf.distributed.exchange import Group, GroupRanks
from cigf.errors import RankLostError

WAYS = pytest.mark.parametrize("memory", [False, True])


@pytest.fixture(params=["pair by pair", "in one"])
def messages(request, monkeypatch):
    """As ranks on CPUs talk, and as ranks on GPUs do; here both through Gloo."""
    if request.param == "in one":
        monkeypatch.setattr(exchange, "in_one", lambda x: True)


def own(rank, *shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(7 * seed + rank))


@WAYS
@pytest.mark.parametrize("n_ranks", [1, 2, 3])
def test_gather(n_ranks, memory, messages):
    def ask(ranks):
        first = ranks.gather(own(ranks.rank, 2, 5).t())  # not contiguous
        kept = first[0].clone()
        second = ranks.gather(torch.tensor([ranks.rank]), own(ranks.rank, 300, 7, seed=1))
        nothing = ranks.gather(torch.empty(0, 3))
        return kept, [each.clone() for each in second], nothing[0]

    everyone = range(n_ranks)
    for kept, (numbers, larger), nothing in on_threads(n_ranks, ask, memory=memory):
        assert torch.equal(kept, torch.cat([own(rank, 2, 5).t() for rank in everyone]))
        assert numbers.tolist() == list(everyone)
        assert torch.equal(larger, torch.cat([own(rank, 300, 7, seed=1) for rank in everyone]))
        assert nothing.shape == (0, 3)


@WAYS
@pytest.mark.parametrize("n_ranks", [1, 2, 3])
def test_reduce_and_total(n_ranks, memory, messages):
    def ask(ranks):
        mine = ranks.reduce(own(ranks.rank, 2 * n_ranks, 5))
        return mine, ranks.total(own(ranks.rank, 3))

    tables = [own(rank, 2 * n_ranks, 5) for rank in range(n_ranks)]
    sums = torch.stack(tables).sum(0)
    found = on_threads(n_ranks, ask, memory=memory)
    torch.testing.assert_close(torch.cat([mine for mine, _ in found]), sums)
    total = torch.stack([own(rank, 3) for rank in range(n_ranks)]).sum(0)
    torch.testing.assert_close(found[0][1], total)
    assert all(torch.equal(each, found[0][1]) for _, each in found)  # the same bits


def test_rows_side_by_side():
    def fill(ranks):
        assert ranks.shares_memory
        tables = []
        for scale in (1.0, 2.0, 3.0):  # areas take turns
            mine = scale * own(ranks.rank, 4, 2, 5)
            with ranks.side_by_side(4, 2, 5) as room:
                room.table[:, room.first : room.first + 2] = mine
            tables.append(room.table.clone())
        return tables

    expected = torch.cat([own(rank, 4, 2, 5) for rank in range(3)], 1)
    for tables in on_threads(3, fill, memory=True):
        for scale, table in zip((1.0, 2.0, 3.0), tables, strict=True):
            assert torch.equal(table, scale * expected)


def test_rows_side_by_side_need_memory_that_is_shared():
    def ask(ranks):
        assert not ranks.shares_memory
        with pytest.raises(NotImplementedError, match="share no memory"):
            ranks.side_by_side(1, 1, 1)

    on_threads(2, ask)


@WAYS
def test_what_ranks_say(memory, messages):
    said = [b"", b"one", bytes(range(256))]

    def ask(ranks):
        flags = ranks.any(ranks.rank == 1), ranks.any(False)
        return flags, ranks.everyone(said[ranks.rank])

    assert on_threads(3, ask, memory=memory) == [((True, False), said)] * 3


SHORT = timedelta(seconds=0.3)


@WAYS
def test_a_rank_that_gives_up_is_missed(memory, messages):
    def leave_early(ranks):
        ranks.any(ranks.any(False))
        if ranks.rank == 1:
            raise ValueError("rank 1 will not")
        lost = "rank 0 of 2 has lost another rank: (its connection is closed|no answer in)"
        reason = "rank 1 of 2 has ended" if memory else lost
        with pytest.raises(RankLostError, match=reason):
            ranks.any(False)

    with pytest.raises(ValueError, match="rank 1 will not"):
        on_threads(2, leave_early, memory=memory, timeout=SHORT)


class Broken(Group):
    """A group whose engine fails."""

    def __init__(self, words):
        self.words = words

    def rank(self):
        return 0

    def size(self):
        return 2

    def send(self, tensors, rank, tag):
        raise RuntimeError(self.words)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("[pair.cc:534] Connection closed by peer [::1]:7", "lost another rank: its connection"),
        (
            "[pair.cc:161] Timed out waiting for ...",
            "has lost another rank: no answer in 0:00:00.3",
        ),
        ("No such type\nC++ trace", "cannot exchange with the others: No such type"),
    ],
)
def test_an_engine_that_fails_says_why(words, problem):
    with pytest.raises(RankLostError) as raised:
        GroupRanks(Broken(words), SHORT).any(False)
    assert re.match(f"rank 0 of 2 (has )?{problem}", str(raised.value))
    assert "trace" not in str(raised.value)


def test_a_process_that_is_gone_is_missed(monkeypatch):
    monkeypatch.setattr(memory_module, "_lives", lambda pid: False)

    def stay_away(ranks):
        ranks.any(ranks.any(False))
        if ranks.rank == 0:
            ranks.any(False)

    with pytest.raises(RankLostError, match="rank 1 of 2 has ended") as raised:
        on_threads(2, stay_away, memory=True)
    assert raised.value.rank == 1


def test_life():
    import subprocess

    process = subprocess.Popen(["true"])
    while memory_module._lives(process.pid):  # until it is a zombie
        pass
    process.wait()
    assert not memory_module._lives(process.pid)


def test_ranks_that_share_no_machine_share_no_memory(monkeypatch):
    def refuse(*arguments):
        raise PermissionError("another container")

    monkeypatch.setattr(memory_module.os, "open", refuse)
    with pytest.raises(OSError, match="another container"):
        on_threads(2, lambda ranks: None, memory=True)


@pytest.mark.parametrize("error", [OSError("no memory"), AttributeError("not Linux")])
def test_where_no_memory_can_be_made_no_rank_waits(monkeypatch, error):
    def refuse(name):
        raise error

    def ask(ranks):  # rank 0 alone makes it, and all must know that it cannot
        with pytest.raises(OSError, match=str(error)):
            memory_module.MemoryRanks(ranks)
        return ranks.everyone(bytes([ranks.rank]))

    monkeypatch.setattr(memory_module.os, "memfd_create", refuse)
    assert on_threads(2, ask, timeout=SHORT) == [[b"\x00", b"\x01"]] * 2
