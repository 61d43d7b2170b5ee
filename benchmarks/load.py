"""Load for a server on this machine: connections that ask as fast as they can, or at a given rate.

The generator shares the machine's cores with the server, so it does as little as possible: it
writes prepared bytes and looks for nothing in an answer but its status and its end.
"""

import asyncio
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

Make = Callable[[int], bytes]
"""The bytes of the n-th request."""


@dataclass
class Outcome:
    """What came of some load.

    Args:
        seconds: How long it lasted.
        latencies: Seconds of each answered request.
        errors: How many requests were refused or not answered.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    errors: int = 0

    @property
    def rate(self) -> float:
        """Good answers per second."""
        return (len(self.latencies) - self.errors) / self.seconds

    def milliseconds(self, share: float) -> float:
        """The latency that this share of the requests did not exceed."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def get(path: str) -> bytes:
    """Return a GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def post(path: str, body: bytes, token: str | None = None) -> bytes:
    """Return a POST request with a body of JSON."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += f"Authorization: Bearer {token}\r\n" if token else ""
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Connection(asyncio.Protocol):
    """One connection that asks one thing at a time."""

    def __init__(self) -> None:
        self._text = b""
        self._waiter: asyncio.Future[bytes] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._text += data
        head = self._text.find(b"\r\n\r\n")
        if head < 0:
            return
        place = self._text.lower().find(b"content-length:", 0, head)
        length = int(self._text[place + 15 : self._text.find(b"\r", place)])
        if len(self._text) >= head + 4 + length and self._waiter is not None:
            answer, self._text = self._text, b""
            waiter, self._waiter = self._waiter, None
            waiter.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error or ConnectionError("closed"))

    async def ask(self, request: bytes) -> bytes:
        """Send a request; return the whole answer."""
        assert self._transport is not None
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiter

    async def close(self) -> None:
        assert self._transport is not None
        self._transport.close()
        await asyncio.sleep(0)  # the loop closes it when it comes round


async def connect(port: int) -> Connection:
    """Open a connection to a server on this machine."""
    _, made = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return made


def is_good(answer: bytes) -> bool:
    """Tell whether an answer is no refusal."""
    return answer.startswith(b"HTTP/1.1 200")


def as_fast_as_possible(port: int, make: Make, connections: int, seconds: float) -> Outcome:
    """Let each connection ask again as soon as it has an answer."""

    async def run() -> Outcome:
        opened = [await connect(port) for _ in range(connections)]
        outcome, numbers, began = Outcome(), _count(), perf_counter()

        async def ask_on(connection: Connection) -> None:
            while (start := perf_counter()) < began + seconds:
                answer = await connection.ask(make(next(numbers)))
                outcome.latencies.append(perf_counter() - start)
                outcome.errors += not is_good(answer)

        await asyncio.gather(*map(ask_on, opened))
        outcome.seconds = perf_counter() - began
        for each in opened:
            await each.close()
        return outcome

    with _without_collections():
        return asyncio.run(run())


def at_rate(port: int, make: Make, rate: float, seconds: float, connections: int = 64) -> Outcome:
    """Ask at fixed times; a latency begins when the request was due, so that queues count."""

    async def run() -> Outcome:
        free = asyncio.Queue[Connection]()
        for _ in range(connections):
            free.put_nowait(await connect(port))
        outcome, began = Outcome(), perf_counter()

        async def ask(number: int) -> None:
            due = began + number / rate
            await asyncio.sleep(due - perf_counter())
            connection = await free.get()
            answer = await connection.ask(make(number))
            outcome.latencies.append(perf_counter() - due)
            outcome.errors += not is_good(answer)
            free.put_nowait(connection)

        await asyncio.gather(*map(ask, range(int(rate * seconds))))
        outcome.seconds = perf_counter() - began
        while not free.empty():
            await free.get_nowait().close()
        return outcome

    with _without_collections():
        return asyncio.run(run())


@contextmanager
def _without_collections() -> Iterator[None]:
    """Let no garbage be collected meanwhile, as `timeit` does.

    A collection of all that this process has loaded stops it for 0.1 s and more, which would be
    counted as the server's.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _count() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1
