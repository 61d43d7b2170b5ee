"""The server's process: uvicorn, signals, and the first and last lines of the log."""

import asyncio
import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cigf.errors import OutputError
from cigf.service.settings import Limits
from cigf.service.telemetry import Log


class _Server(uvicorn.Server):
    """Ends with exit code 0 where it was told to stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT; a second one does not wait for requests in flight."""
        before = {each: signal.signal(each, self.handle_exit) for each in _STOP}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Connection(HttpToolsProtocol):
    """Closes where no whole header comes in time; uvicorn's clock only runs between requests."""

    _closing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a header."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Wait no longer once a request has begun; begin again with the next one's first byte."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self._closing is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._closing = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def _stop_waiting(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None


class _ToLog(logging.Handler):
    """Puts what uvicorn says into the server's log; it logs no request."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        self._log.write("http", level=record.levelname.lower(), message=record.getMessage())


_STOP = (signal.SIGTERM, signal.SIGINT)


def serve(app: ASGIApp, host: str, port: int, limits: Limits, log: Log) -> None:
    """Answer requests until the process is told to stop.

    Raises:
        OutputError: The address cannot be had.
    """
    listener = _listen(host, port)
    address = listener.getsockname()
    named = f"[{host}]" if ":" in host else host
    log.write("ready", url=f"http://{named}:{address[1]}")
    config = uvicorn.Config(
        app,
        http=_Connection,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=4 * limits.max_concurrency,
        timeout_keep_alive=limits.keep_alive,
        timeout_graceful_shutdown=limits.shutdown,
    )
    logging.getLogger("uvicorn").addHandler(_ToLog(log))
    server = _Server(config)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(server.serve(sockets=[listener]))
    log.write("stopped")


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise OutputError(f"{host}:{port}: cannot be listened on ({error.strerror})") from None
    listener.setblocking(False)
    return listener
