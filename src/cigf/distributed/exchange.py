"""What ranks say to each other: rows of tables gathered, sums returned to their owners.

Axes: R ranks, S rows that each rank holds. A table of all ranks' rows is ordered by rank.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from cigf.errors import RankLostError
from cigf.graph.fused import Room


class Ranks(ABC):
    """The ranks of a run, seen from one of them.

    Every method is called by all ranks, in the same order and with the same shapes.

    Args:
        rank: Number of this one, from 0.
        size: R.
    """

    shares_memory = False
    """Whether `side_by_side` can be asked for: ranks of one machine."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size

    @abstractmethod
    def gather(self, *own: Tensor) -> tuple[Tensor, ...]:
        """Return all ranks' rows: of each tensor (S, ...) the table (R S, ...).

        The tables may lie in memory that ranks share: they are only read, and until the next call.

        Raises:
            RankLostError: Another rank has ended.
        """

    @abstractmethod
    def reduce(self, table: Tensor) -> Tensor:
        """Return this rank's rows (S, ...) of the sum over all ranks' tables (R S, ...).

        Terms are added in the order of the ranks.

        Raises:
            RankLostError: Another rank has ended.
        """

    def side_by_side(self, n_tables: int, n_rows: int, width: int) -> AbstractContextManager[Room]:
        """Give tables of single precision in the ranks' memory, in which each fills its own rows.

        When the block ends, all ranks have filled theirs. The tables may be read until the next
        call.

        Args:
            n_tables: Number of tables.
            n_rows: S.
            width: Of a row.

        Raises:
            RankLostError: Another rank has ended.
        """
        raise NotImplementedError("these ranks share no memory")

    def total(self, values: Tensor) -> Tensor:
        """Return the sum over the ranks of a few values: the same bits on every rank."""
        return self.gather(values.detach()[None])[0].sum(0)

    def any(self, flag: bool) -> bool:
        """Tell whether the flag is set on any rank."""
        return bool(self.gather(torch.tensor([flag]))[0].any())

    def everyone(self, data: bytes) -> list[bytes]:
        """Return what each rank says, in their order."""
        sizes = self.gather(torch.tensor([len(data)]))[0].tolist()
        padded = torch.zeros(1, max(1, *sizes), dtype=torch.uint8)
        padded[0, : len(data)] = torch.frombuffer(bytearray(data or b"\0"), dtype=torch.uint8)[
            : len(data)
        ]
        (table,) = self.gather(padded)
        return [bytes(row[:n].numpy()) for row, n in zip(table, sizes, strict=True)]

    @abstractmethod
    def abandon(self) -> None:
        """Tell the others that this rank gives up, so that none waits for it."""


@runtime_checkable
class Group(Protocol):
    """What is asked of a process group of torch, or of one of its engines."""

    def rank(self) -> int:
        """Number of this process."""
        ...

    def size(self) -> int:
        """Number of processes."""
        ...

    def send(self, tensors: list[Tensor], rank: int, tag: int) -> Any:
        """Begin to send."""
        ...

    def recv(self, tensors: list[Tensor], rank: int, tag: int) -> Any:
        """Begin to receive."""
        ...

    def _allgather_base(self, table: Tensor, own: Tensor) -> Any:
        """Begin to give every rank the tensors of all, one behind the other."""
        ...

    def alltoall_base(
        self, received: Tensor, sent: Tensor, received_sizes: list[int], sent_sizes: list[int]
    ) -> Any:
        """Begin to give every rank its part of each rank's tensor; no sizes: equal parts."""
        ...


class GroupRanks(Ranks):
    """Ranks that talk through a process group of torch: Gloo between CPUs, NCCL between GPUs.

    Args:
        group: The process group.
        timeout: How long to wait for the others.
    """

    def __init__(self, group: Group, timeout: timedelta = timedelta(minutes=30)) -> None:
        super().__init__(group.rank(), group.size())
        self._group: Group | None = group
        self._timeout = timeout

    def gather(self, *own: Tensor) -> tuple[Tensor, ...]:
        """See `Ranks.gather`."""
        tables = tuple(x.new_empty(self.size * len(x), *x.shape[1:]) for x in own)
        with self._engine() as group:
            works = []
            for tag, (table, x) in enumerate(zip(tables, own, strict=True)):
                if not x.numel():
                    continue
                if in_one(x):
                    mine = _plain(x.detach().contiguous())
                    works.append(group._allgather_base(_plain(table), mine))
                    continue
                chunks = table.view(self.size, *x.shape)
                chunks[self.rank].copy_(x.detach())
                works += self._swap(group, [chunks[self.rank]] * self.size, chunks, tag)
            self._wait(works)
        return tables

    def reduce(self, table: Tensor) -> Tensor:
        """See `Ranks.reduce`."""
        parts = table.detach().contiguous().view(self.size, -1, *table.shape[1:])
        received = torch.empty_like(parts)
        with self._engine() as group:
            if not parts.numel():
                works = []
            elif in_one(parts):
                works = [group.alltoall_base(received, parts, [], [])]
            else:
                received[self.rank].copy_(parts[self.rank])
                works = self._swap(group, parts, received, 0)
            self._wait(works)
        return received.sum(0)

    def abandon(self) -> None:
        """Close the connections."""
        self._group = None

    def _swap(
        self, group: Group, sent: Sequence[Tensor] | Tensor, received: Tensor, tag: int
    ) -> list[Any]:
        """Begin to send a tensor to each other rank and to receive one from each.

        Pairs of messages, because Gloo's own collectives took three times as long.
        """
        others = [rank for rank in range(self.size) if rank != self.rank]
        works = [group.send([_plain(sent[rank])], rank, tag) for rank in others]
        return works + [group.recv([_plain(received[rank])], rank, tag) for rank in others]

    def _wait(self, works: list[Any]) -> None:
        for work in works:
            work.wait(self._timeout)

    @contextmanager
    def _engine(self) -> Iterator[Group]:
        """Give the group; what goes wrong there ends the run as the loss of another rank does."""
        assert self._group is not None
        try:
            yield self._group
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise RankLostError(
                f"rank {self.rank} of {self.size} {self._problem(error)}"
            ) from error

    def _problem(self, error: RuntimeError) -> str:
        """What was wrong with an exchange; in the engine's own words where another is not lost."""
        words = (str(error).splitlines() or [""])[0]
        if "Timed out" in words:
            return f"has lost another rank: no answer in {self._timeout}"
        if any(each in words for each in ("closed", "reset", "Broken pipe", "exited")):
            return "has lost another rank: its connection is closed"
        return f"cannot exchange with the others: {words}"


def in_one(x: Tensor) -> bool:
    """Whether a tensor is exchanged by one operation of all ranks, and not pair by pair.

    Between GPUs it must be: a message of NCCL's is under way when the other rank has asked for it,
    and two ranks that both send first wait for each other for ever.
    """
    return x.is_cuda


def _plain(x: Tensor) -> Tensor:
    """The same memory as a type that every engine sends."""
    return x.view(torch.uint8) if x.dtype == torch.bool else x
