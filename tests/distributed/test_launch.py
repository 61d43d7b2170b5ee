"""What torchrun says, and who tells why a run ended."""

import os
import signal
import sys
from datetime import timedelta
from socket import socket
from threading import Thread

import pytest
import torch
from torch import distributed

from cigf.distributed import launch as module
from cigf.distributed.launch import Launch
from cigf.errors import CigfError, ConfigError, DataError, QuietError, RankLostError

ENVIRONMENT = {
    "RANK": "3",
    "WORLD_SIZE": "5",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "somewhere",
    "MASTER_PORT": "29500",
    "TORCHELASTIC_USE_AGENT_STORE": "True",
    "TORCHELASTIC_RESTART_COUNT": "2",
    "TORCHELASTIC_RUN_ID": "mine",
}


def test_the_environment_is_read():
    found = Launch.of(ENVIRONMENT)
    assert (found.rank, found.size, found.local_rank, found.local_size) == (3, 5, 1, 2)
    assert (found.address, found.port, found.agent_store) == ("somewhere", 29500, True)
    assert found.restarts == 2
    assert found.identity.startswith("mine@")


def test_without_a_launcher_there_is_none():
    assert Launch.of({"RANK": "0"}) is None


def test_numbers_must_be_numbers():
    with pytest.raises(ConfigError, match=r"environment: RANK, WORLD_SIZE .* whole numbers"):
        Launch.of({**ENVIRONMENT, "RANK": "first"})


@pytest.mark.parametrize(
    "change", [{"RANK": "5"}, {"RANK": "-1"}, {"MASTER_PORT": "0"}, {"MASTER_PORT": "65536"}]
)
def test_numbers_must_be_possible(change):
    ((name, value),) = change.items()
    with pytest.raises(ConfigError, match=rf"environment: .*{name} {value}.* from 0 to WORLD_SIZE"):
        Launch.of({**ENVIRONMENT, **change})


def test_each_rank_of_a_machine_needs_a_gpu(monkeypatch):
    found = Launch.of(ENVIRONMENT)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert module._own_gpu(found) == 1
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match=r"rank 3 is number 1 .* has 1 GPU: .* --device cpu"):
        module._own_gpu(found)


@pytest.mark.parametrize("rank", [0, 1])  # the one that waits, the one that comes
def test_ranks_that_do_not_meet_say_where(monkeypatch, rank):
    monkeypatch.setattr(module, "TIMEOUT", timedelta(seconds=0.2))
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = Launch(rank, 2, rank, 2, "127.0.0.1", port, False, 0, "")
    message = rf"rank {rank} of 2 did not meet all others at 127\.0\.0\.1:{port} \(.*start all of"
    with pytest.raises(RankLostError, match=message), module.open_ranks(launch):
        pass


def rooms(store, restarts):
    """The names that the ranks of one start agree on."""
    found = [None] * len(restarts)

    def work(rank):
        launch = Launch(rank, len(restarts), 0, 1, "", 0, True, restarts[rank], "")
        found[rank] = module._room(launch, store)

    threads = [Thread(target=work, args=(rank,)) for rank in range(len(restarts))]
    for thread in reversed(threads):
        thread.start()
    for thread in threads:
        thread.join(20)
    return found


@pytest.mark.parametrize("size", [1, 2, 4])
def test_ranks_agree_on_a_name_of_each_start(size):
    """Whatever they say of restarts, and whatever earlier starts have left in the store."""
    store = distributed.HashStore()
    store.set("knock/1", "of a rank that was killed before it was answered")
    first = rooms(store, [0] * size)
    second = rooms(store, [0] + [1] * (size - 1))
    assert None not in first + second
    assert len(set(first)) == len(set(second)) == 1
    assert first[0] != second[0]


@pytest.fixture
def quiet_signals():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_errors_of_the_system_are_told_as_others_are(quiet_signals):
    launch = Launch(0, 1, 0, 1, "127.0.0.1", 0, False, 0, "")
    refused = pytest.raises(CigfError, match="run: No space left on device")
    with refused as raised, module.open_ranks(launch):
        raise OSError(28, "No space left on device", "run")
    assert raised.value.exit_code == 1


@pytest.fixture
def told(monkeypatch):
    """Return what each rank raises, given what each has met."""
    monkeypatch.setattr(module, "_PATIENCE", 0.4)
    before = signal.getsignal(signal.SIGTERM)

    def tell(*errors):
        store, raised = distributed.HashStore(), [None] * len(errors)
        tellings = [
            module._Telling(Launch(rank, len(errors), 0, 1, "", 0, True, 0, ""), store)
            for rank in range(len(errors))
        ]

        def work(rank):
            raised[rank] = tellings[rank].error(errors[rank])

        threads = [
            Thread(target=work, args=(r,)) for r, error in enumerate(errors) if error is not None
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return raised

    yield tell
    signal.signal(signal.SIGTERM, before)


def test_what_all_have_met_is_told_once(told):
    first, *others = told(*(DataError("no such file") for _ in range(3)))
    assert str(first) == "no such file"
    assert all(isinstance(each, QuietError) and each.exit_code == 2 for each in others)


def test_rank_0_tells_what_another_has_met(told):
    first, second = told(RankLostError("lost"), DataError("no such file here"))
    assert str(first) == "rank 1 of 2: no such file here"
    assert first.exit_code == 2
    assert isinstance(second, QuietError)


def test_nothing_that_only_one_has_met_is_lost(told):
    first, second = told(DataError("no file"), DataError("no memory"))
    assert str(first) == "no file"
    assert str(second) == "rank 1 of 2: no memory"


def test_a_rank_that_ends_without_a_word(told):
    first, second, gone = told(RankLostError("rank 2 of 3 has ended"), RankLostError("lost"), None)
    assert str(first).startswith("rank 2 of 3 has ended; what was learned until the last check")
    assert "--max-restarts" in str(first)
    assert isinstance(second, QuietError)
    assert gone is None


def test_without_rank_0_the_others_tell(told):
    _, second = told(None, RankLostError("rank 0 of 2 has ended"))
    assert str(second) == "rank 1 of 2: rank 0 of 2 has ended"
    assert second.exit_code == 1


def test_meeting_the_others_prints_nothing(capfd):
    print("before")
    with module._nothing_printed():
        os.write(1, b"[Gloo] Rank 0 is connected")
    print("after")
    assert capfd.readouterr() == ("before\nafter\n", "")


def test_without_a_stdout_its_number_is_left_alone(capfd, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with module._nothing_printed():
        os.write(1, b"of another file")
    monkeypatch.undo()
    assert capfd.readouterr() == ("of another file", "")
