"""Ranks of one machine that read each other's rows in shared memory, without sending them.

Between processes of one machine a table sent through sockets is copied four times and waits for
the kernel twice. Here each rank writes its rows into memory that all map, and waits for the others.
"""

import mmap
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from cigf.distributed.exchange import Ranks
from cigf.errors import RankLostError
from cigf.graph.fused import Room

_LINE = 64
"""Bytes of a cache line."""
_GROWTH = 1.25
_SPINS = 2000
"""Looks at the others before sleeping between looks."""
_NAP = 5e-5
_BETWEEN_CHECKS = 0.2
"""Seconds between looks whether the others still live."""


class MemoryRanks(Ranks):
    """Ranks of one machine.

    Tables are written in turn into one of two areas: whoever writes into one again has seen all
    others arrive at the exchange between, when they were done with reading it.

    Args:
        group: The same ranks by another way, which is used to set up.

    Raises:
        OSError: Not all ranks can map the same memory: they are not on one machine.
    """

    shares_memory = True

    def __init__(self, group: Ranks) -> None:
        super().__init__(group.rank, group.size)
        self._group = group
        self._count = 0
        self._fence = Lock()
        control = self._share(2 * _LINE * group.size)
        table = np.frombuffer(control, np.int64).reshape(2, group.size, -1)
        self._arrived, self._given_up = table[0, :, 0], table[1, :, 0]
        self._areas: list[mmap.mmap | None] = [None, None]
        self._pids = [int(each) for each in group.everyone(str(os.getpid()).encode())]

    def gather(self, *own: Tensor) -> tuple[Tensor, ...]:
        """See `Ranks.gather`."""
        rows = [slice(self.rank * len(x), (self.rank + 1) * len(x)) for x in own]
        shapes = [(self.size * len(x), *x.shape[1:]) for x in own]
        tables = self._tables(shapes, [x.dtype for x in own])
        for table, mine, x in zip(tables, rows, own, strict=True):
            table[mine].copy_(x.detach())
        self._wait()
        return tuple(tables)

    def reduce(self, table: Tensor) -> Tensor:
        """See `Ranks.reduce`."""
        (all_tables,) = self._tables([(self.size, *table.shape)], [table.dtype])
        all_tables[self.rank].copy_(table.detach())
        self._wait()
        n_rows = len(table) // self.size
        return all_tables[:, self.rank * n_rows : (self.rank + 1) * n_rows].sum(0)

    @contextmanager
    def side_by_side(self, n_tables: int, n_rows: int, width: int) -> Iterator[Room]:
        """See `Ranks.side_by_side`."""
        (table,) = self._tables([(n_tables, self.size * n_rows, width)], [torch.float32])
        yield Room(table, self.rank * n_rows)
        self._wait()

    def abandon(self) -> None:
        """Raise the flag at which the others look while they wait."""
        self._given_up[self.rank] = 1
        self._group.abandon()

    def _tables(self, shapes: list[tuple[int, ...]], types: list[torch.dtype]) -> list[Tensor]:
        """Views of the area whose turn it is."""
        sizes = [int(np.prod(s)) for s in shapes]
        spans = [
            -(-n * kind.itemsize // _LINE) * _LINE for n, kind in zip(sizes, types, strict=True)
        ]
        area = self._area(sum(spans))
        tables, at = [], 0
        for shape, n, kind, span in zip(shapes, sizes, types, spans, strict=True):
            flat = torch.frombuffer(area, dtype=kind, count=n, offset=at) if n else None
            tables.append(torch.empty(shape, dtype=kind) if flat is None else flat.view(shape))
            at += span
        return tables

    def _area(self, n_bytes: int) -> mmap.mmap:
        turn = self._count % 2
        area = self._areas[turn]
        if area is None or len(area) < n_bytes:
            area = self._areas[turn] = self._share(max(mmap.PAGESIZE, int(n_bytes * _GROWTH)))
        return area

    def _share(self, n_bytes: int) -> mmap.mmap:
        """Map memory that rank 0 makes; zeros. Whatever fails on one rank fails on all."""
        made, found, problem = -1, None, ""
        try:
            try:
                if self.rank == 0:
                    made = os.memfd_create("cigf")
                    os.ftruncate(made, n_bytes)
            except (OSError, AttributeError) as error:  # AttributeError: not Linux
                problem = repr(error)
            path = self._group.everyone(f"/proc/{os.getpid()}/fd/{made}".encode())[0].decode()
            try:
                found = _mapped(path, n_bytes)
            except (OSError, ValueError) as error:
                problem = problem or repr(error)
            problems = [each.decode() for each in self._group.everyone(problem.encode())]
        finally:
            if made >= 0:
                os.close(made)
        if found is None or any(problems):
            raise OSError(next(filter(None, problems)))
        return found

    def _wait(self) -> None:
        """Wait until all ranks have come as far as this one."""
        self._count += 1
        with self._fence:  # what was written before is seen by whoever sees the number
            self._arrived[self.rank] = self._count
        spins, checked = 0, time.monotonic()
        while self._arrived.min() < self._count:
            spins += 1
            if spins < _SPINS:
                os.sched_yield()
                continue
            time.sleep(_NAP)
            if time.monotonic() - checked > _BETWEEN_CHECKS:
                self._refuse_lost()
                checked = time.monotonic()
        with self._fence:
            pass

    def _refuse_lost(self) -> None:
        late = np.flatnonzero(self._arrived < self._count).tolist()
        lost = [each for each in late if self._given_up[each] or not _lives(self._pids[each])]
        if lost:
            raise RankLostError(f"rank {lost[0]} of {self.size} has ended", lost[0])


def _mapped(path: str, n_bytes: int) -> mmap.mmap:
    opened = os.open(path, os.O_RDWR)
    try:
        return mmap.mmap(opened, n_bytes)
    finally:
        os.close(opened)


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state = file.read().rpartition(b")")[2].split()[0]
    except OSError:
        return False
    return state not in (b"Z", b"X")
