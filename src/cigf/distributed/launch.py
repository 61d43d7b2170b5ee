"""Ranks as torchrun starts them: what its environment says, the process group, and who tells what.

A run that cannot go on ends with one message. A rank that fails leaves its reason in the launcher's
store and lets go of the others; rank 0 prints the reason, and the others are quiet. If rank 0 is
gone, the rank that failed prints it itself.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import torch
from torch import distributed
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]

from cigf.distributed.exchange import GroupRanks, Ranks
from cigf.distributed.memory import MemoryRanks
from cigf.errors import CigfError, ConfigError, QuietError, RankLostError, of_the_system

TIMEOUT = timedelta(minutes=30)
"""How long a rank waits for another, as torch has it."""
_PATIENCE = 3.0
"""Seconds in which a rank that failed waits for rank 0 to tell of it."""
_TOLD = "told"
_STDOUT = 1
"""Its number in every process."""
_GLANCE = 0.02
"""Seconds between two looks at whether another rank has come."""


@dataclass(frozen=True)
class Launch:
    """What the launcher says of this process.

    Args:
        rank: Its number.
        size: Number of processes.
        local_rank: Its number on this machine.
        local_size: Number of processes on this machine.
        address: Where the store is.
        port: Its port.
        agent_store: Whether the launcher itself holds the store, else rank 0 does.
        restarts: How often the processes were started again.
        identity: Names the launcher that started this process, whatever the restarts.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    address: str
    port: int
    agent_store: bool
    restarts: int
    identity: str

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Launch | None":
        """Read the variables that torchrun sets; None without them.

        Raises:
            ConfigError: A variable is not what torchrun makes it.
        """
        wanted = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
        if not all(name in environment for name in wanted):
            return None
        run = environment.get("TORCHELASTIC_RUN_ID", "none")
        try:
            found = cls(
                rank=int(environment["RANK"]),
                size=int(environment["WORLD_SIZE"]),
                local_rank=int(environment.get("LOCAL_RANK", "0")),
                local_size=int(environment.get("LOCAL_WORLD_SIZE", "1")),
                address=environment["MASTER_ADDR"],
                port=int(environment["MASTER_PORT"]),
                agent_store=environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
                restarts=int(environment.get("TORCHELASTIC_RESTART_COUNT", "0")),
                identity=f"{run}@{os.uname().nodename}:{os.getppid()}",
            )
            return found._checked()
        except ValueError as error:
            raise ConfigError(
                f"environment: RANK, WORLD_SIZE and the like must be whole numbers ({error}); "
                "start with torchrun, or unset them"
            ) from None

    def _checked(self) -> "Launch":
        """Return this launch if it can be one.

        Raises:
            ConfigError: Numbers are out of range.
        """
        if 0 <= self.rank < self.size and 0 < self.port < 1 << 16:
            return self
        raise ConfigError(
            f"environment: RANK {self.rank}, WORLD_SIZE {self.size}, MASTER_PORT {self.port}: a "
            "rank is from 0 to WORLD_SIZE - 1, a port from 1 to 65535; start with torchrun, or "
            "unset them"
        )


@contextmanager
def open_ranks(launch: Launch, device: torch.device | None = None) -> Iterator[Ranks]:
    """Join the other processes.

    Args:
        launch: What the launcher says.
        device: What is computed on; None: the CPU.

    Raises:
        ConfigError: There are fewer GPUs than ranks.
        RankLostError: Another rank has ended.
        QuietError: The run cannot go on, and rank 0 tells why.
    """
    on_gpu = device is not None and device.type == "cuda"
    with _explained(launch):
        store = _store(launch)
        _raise_on_sigterm()
        if on_gpu:
            torch.cuda.set_device(_own_gpu(launch))
        with _nothing_printed():
            distributed.init_process_group(
                "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
                store=PrefixStore("group", store),
                rank=launch.rank,
                world_size=launch.size,
                timeout=TIMEOUT,
            )
    ranks: Ranks | None = None
    try:
        assert distributed.group.WORLD is not None
        ranks = _quickest(GroupRanks(distributed.group.WORLD, TIMEOUT), launch, on_gpu)
        yield ranks
        ranks.any(False)  # nobody ends while another still needs the store
    except (CigfError, OSError) as error:
        if ranks is not None:
            ranks.abandon()
        _close()
        found = of_the_system(error) if isinstance(error, OSError) else error
        raise _Telling(launch, store).error(found) from None
    except BaseException:
        if ranks is not None:
            ranks.abandon()
        raise
    finally:
        _close()


def _own_gpu(launch: Launch) -> int:
    """Return the number of this rank's GPU.

    Raises:
        ConfigError: There are fewer GPUs than ranks of this machine.
    """
    n_gpus = torch.cuda.device_count()
    if launch.local_rank >= n_gpus:
        raise ConfigError(
            f"rank {launch.rank} is number {launch.local_rank} (from 0) of this machine, which has "
            f"{n_gpus} GPU{'s' * (n_gpus != 1)}: each rank needs one of its own; start fewer "
            "processes on it (torchrun --nproc-per-node), or pass --device cpu"
        )
    return launch.local_rank


@contextmanager
def _nothing_printed() -> Iterator[None]:
    """Keep stdout for what commands print: PyTorch 2.8 writes there that the ranks have met."""
    if sys.stdout is None:  # closed: the number is another file's now
        yield
        return
    kept = os.dup(_STDOUT)
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), _STDOUT)
    try:
        yield
    finally:
        os.dup2(kept, _STDOUT)
        os.close(kept)


@contextmanager
def _explained(launch: Launch) -> Iterator[None]:
    try:
        yield
    except distributed.DistError as error:
        raise RankLostError(
            f"rank {launch.rank} of {launch.size} did not meet all others at "
            f"{launch.address}:{launch.port} ({str(error).splitlines()[0]}); start all of them "
            "with torchrun, or unset RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT to run alone"
        ) from None


def _store(launch: Launch) -> Store:
    """Connect to the launcher's store; its keys outlive restarts, so each start has its own."""
    store: Store = TCPStore(
        launch.address,
        launch.port,
        launch.size,
        is_master=launch.rank == 0 and not launch.agent_store,
        timeout=TIMEOUT,
    )
    return PrefixStore(f"cigf/{_room(launch, store)}", store)


def _room(launch: Launch, store: Store) -> str:
    """Agree with the ranks of this start on a name that no start before has used.

    Nothing that the launcher says will do: a machine counts a restart where its own process has
    failed, so that one on which all went well counts fewer of them. Every rank knocks with a word
    of its own, which rank 0 answers by the name, until all have come. What earlier starts have left
    behind is answered too, and nobody hears it.
    """
    mine = uuid4().hex
    if launch.rank:
        store.set(f"knock/{launch.rank}", mine)
        store.wait([f"room/{mine}"], TIMEOUT)
        room = store.get(f"room/{mine}").decode()
        store.set(f"here/{room}/{launch.rank}", "")
        return room
    missing = list(range(1, launch.size))
    deadline = time.monotonic() + TIMEOUT.total_seconds()
    while missing:
        for rank in missing:
            if store.check([f"knock/{rank}"]):
                store.set(f"room/{store.get(f'knock/{rank}').decode()}", mine)
        missing = [rank for rank in missing if not store.check([f"here/{mine}/{rank}"])]
        if time.monotonic() > deadline:
            raise distributed.DistStoreError(f"no rank {missing[0]} in {TIMEOUT}")
        time.sleep(_GLANCE if missing else 0.0)
    return mine


def _quickest(group: Ranks, launch: Launch, on_gpu: bool) -> Ranks:
    """Let the ranks of one machine share memory."""
    if on_gpu or launch.local_size != launch.size:
        return group
    try:
        return MemoryRanks(group)
    except OSError:  # not Linux, or in several containers
        return group


def _close() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _raise_on_sigterm() -> None:
    """The launcher ends the others when one has ended: that is an error with a message, too."""

    def stop(number: int, frame: Any) -> None:
        raise RankLostError("told to stop: another rank has ended, or the launcher was stopped")

    signal.signal(signal.SIGTERM, stop)


class _Telling:
    """Agrees with the other ranks who prints what.

    Args:
        launch: Who this is.
        store: The launcher's store.
    """

    def __init__(self, launch: Launch, store: Store) -> None:
        self._launch, self._store = launch, store
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the launcher is in a hurry now

    def error(self, error: CigfError) -> CigfError:
        """Return what this rank raises: the error to print, or `QuietError`."""
        try:
            if not isinstance(error, RankLostError):
                told = {"text": str(error), "code": error.exit_code}
                self._store.set(f"error/{self._launch.rank}", json.dumps(told))
            return self._first(error) if self._launch.rank == 0 else self._other(error)
        except RuntimeError:  # the store is gone with the launcher
            return error

    def _first(self, error: CigfError) -> CigfError:
        found = error
        if isinstance(error, RankLostError):
            found = self._reason() or RankLostError(
                f"{error}; what was learned until the last checkpoint is kept. Go on with the same "
                "command and --resume, or let torchrun do so with --max-restarts"
            )
        self._store.set(_TOLD, str(found))
        return found

    def _reason(self) -> CigfError | None:
        """What another rank says of its end."""
        keys = [f"error/{rank}" for rank in range(1, self._launch.size)]
        deadline = time.monotonic() + _PATIENCE / 2
        while time.monotonic() < deadline:
            for rank, key in enumerate(keys, start=1):
                if self._store.check([key]):
                    told = json.loads(self._store.get(key))
                    found = CigfError(f"rank {rank} of {self._launch.size}: {told['text']}")
                    found.exit_code = told["code"]
                    return found
            time.sleep(0.05)
        return None

    def _other(self, error: CigfError) -> CigfError:
        """Be quiet where rank 0 has told the same."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            if self._store.check([_TOLD]):
                told = self._store.get(_TOLD).decode()
                if isinstance(error, RankLostError) or str(error) in told:
                    return QuietError(error.exit_code)
                break
            time.sleep(0.05)
        found = CigfError(f"rank {self._launch.rank} of {self._launch.size}: {error}")
        found.exit_code = error.exit_code
        return found
