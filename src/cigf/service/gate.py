"""Gate: what every request passes before it reaches a route, as plain ASGI.

Tokens, limits of size, number and time, metrics and the log.
"""

import asyncio
import traceback
from dataclasses import dataclass, field
from hmac import compare_digest
from time import perf_counter

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cigf.service.lane import Lane
from cigf.service.problems import problem
from cigf.service.settings import Limits, Tokens
from cigf.service.telemetry import Log, Metrics

OPEN = ("/", "/healthz", "/readyz")
"""Paths that need no token: health, and the page, which holds no data."""

ADMIN = ("/models/reload",)
"""Paths that need the admin token."""

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
"""Methods that metrics name; a caller may invent others."""

_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


@dataclass(eq=False)
class _Exchange:
    """One request and what was sent of its answer."""

    scope: Scope
    status: int = 0
    read: int = 0
    is_read: bool = False
    began: float = field(default_factory=perf_counter)


class Gate:
    """Lets requests through to an app.

    Args:
        app: The app.
        lane: The short way, tried first.
        limits: What one server takes on.
        tokens: Who may call.
        metrics: Counts.
        log: Tells.
    """

    def __init__(
        self,
        app: ASGIApp,
        lane: Lane,
        *,
        limits: Limits,
        tokens: Tokens,
        metrics: Metrics,
        log: Log | None,
    ) -> None:
        self._app = app
        self._lane = lane
        self._limits = limits
        self._tokens = tokens
        self._metrics = metrics
        self._log = log
        self._in_flight = 0
        metrics.gauge("cigf_requests_in_flight", "Being answered.", lambda: self._in_flight)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, is_read=not _has_body(scope))
        self._in_flight += 1
        try:
            await self._answer(exchange, receive, self._sender(exchange, send))
        finally:
            self._in_flight -= 1
            self._tell(exchange)

    async def _answer(self, exchange: _Exchange, receive: Receive, send: Send) -> None:
        scope = exchange.scope
        refusal = self._refusal(scope)
        if refusal is not None:
            await problem(*refusal)(scope, receive, send)
            return
        # What an admin asks for is done even if nobody waits for it, so that it has to be told of.
        seconds = self._limits.timeout
        try:
            async with asyncio.timeout(None if scope["path"] in ADMIN else seconds):
                await self._take(exchange, receive, send)
        except TimeoutError:
            status = 503 if exchange.is_read else 408
            await self._fail(exchange, receive, send, status, f"not done within {seconds:g} s")
        except asyncio.CancelledError:
            # Only the end of the server cancels; what is raised on would be answered in plain text.
            await self._fail(exchange, receive, send, 503, "the server is stopping")
        except Exception as error:
            if self._log:
                # Without the error's own text, which may tell an id.
                trace = "".join(traceback.format_tb(error.__traceback__))
                self._log.write(
                    "error", route=_route(scope), kind=type(error).__name__, trace=trace
                )
            text = "the server failed; its log says why"
            await self._fail(exchange, receive, send, 500, text)

    async def _take(self, exchange: _Exchange, receive: Receive, send: Send) -> None:
        body = await self._lane.answer(exchange.scope)
        if body is None:
            await self._app(exchange.scope, self._reader(exchange, receive), send)
        else:
            await Response(body, media_type="application/json")(exchange.scope, receive, send)

    async def _fail(
        self, exchange: _Exchange, receive: Receive, send: Send, status: int, message: str
    ) -> None:
        if not exchange.status:
            await problem(status, message)(exchange.scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str, None, dict[str, str]] | None:
        """Return status, message and headers of a request that may not pass."""
        path, headers = scope["path"], dict(scope["headers"])
        if path in OPEN:
            return None
        if self._in_flight > self._limits.max_concurrency:
            return 429, "too many requests at the same time; try again in a second", None, {}
        if path in ADMIN and self._tokens.admin is None:
            return 403, "admin calls are off; start the server with CIGF_ADMIN_TOKEN", None, {}
        wanted = self._tokens.admin if path in ADMIN else self._tokens.user
        if wanted is not None and not _is_token(headers.get(b"authorization", b""), wanted):
            text = "send the token in the header Authorization: Bearer TOKEN"
            return 401, text, None, {"WWW-Authenticate": "Bearer"}
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._limits.max_body:
            return 413, self._too_large(), None, {"Connection": "close"}
        return None

    def _too_large(self) -> str:
        return f"the body is too large; at most {self._limits.max_body} bytes are read"

    def _reader(self, exchange: _Exchange, receive: Receive) -> Receive:
        async def read() -> Message:
            message = await receive()
            exchange.read += len(message.get("body", b""))
            exchange.is_read = not message.get("more_body", False)
            if exchange.read > self._limits.max_body:
                raise HTTPException(413, self._too_large(), {"Connection": "close"})
            return message

        return read

    def _sender(self, exchange: _Exchange, send: Send) -> Send:
        async def pass_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        return pass_on

    def _tell(self, exchange: _Exchange) -> None:
        seconds = perf_counter() - exchange.began
        route, method = _route(exchange.scope), exchange.scope["method"]
        method = method if method in METHODS else "other"
        self._metrics.count(route, method, exchange.status, seconds)
        if self._log and self._log.requests:
            self._log.write(
                "request",
                route=route,
                method=method,
                status=exchange.status,
                milliseconds=round(1000 * seconds, 2),
                bytes_read=exchange.read,
            )


def _has_body(scope: Scope) -> bool:
    names = {name for name, _ in scope["headers"]}
    return b"content-length" in names or b"transfer-encoding" in names


def _route(scope: Scope) -> str:
    """Return the route's pattern, so that neither ids nor made-up paths are told."""
    path: str = getattr(scope.get("route"), "path_format", "other")
    return path


def _is_token(header: bytes, wanted: str) -> bool:
    scheme, _, given = header.partition(b" ")
    # The whole comparison takes the same time wherever the two differ.
    return compare_digest(given.strip(), wanted.encode()) and scheme.lower() == b"bearer"
