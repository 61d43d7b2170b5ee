"""The server's process: uvicorn, signals, and the first and last lines of the log."""

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

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


_STOP = (signal.SIGTERM, signal.SIGINT)


def serve(app: ASGIApp, host: str, port: int, limits: Limits, log: Log) -> None:
    """Answer requests until the process is told to stop.

    Raises:
        OutputError: The address cannot be had.
    """
    listener = _listen(host, port)
    address = listener.getsockname()
    log.write("ready", url=f"http://{host}:{address[1]}")
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=4 * limits.max_concurrency,
        timeout_keep_alive=limits.keep_alive,
        timeout_graceful_shutdown=limits.shutdown,
    )
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
