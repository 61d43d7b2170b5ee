"""Refusals: which error gives which status, and the one form of their bodies."""

from collections.abc import Mapping

import orjson
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from cigf.errors import (
    ArtifactError,
    CigfError,
    ConfigError,
    DataError,
    EventLogError,
    NotExplainableError,
    OverloadedError,
    StoppingError,
    UnknownIdError,
)

_STATUSES: dict[type[CigfError], tuple[int, str]] = {
    UnknownIdError: (404, "unknown_id"),
    NotExplainableError: (501, "not_explainable"),
    ArtifactError: (409, "artifact"),
    ConfigError: (422, "invalid_request"),
    DataError: (422, "invalid_request"),
    OverloadedError: (429, "overloaded"),
    EventLogError: (503, "event_log"),
    StoppingError: (503, "unavailable"),
}

_CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "timeout",
    413: "too_large",
    422: "invalid_request",
    429: "overloaded",
    503: "unavailable",
}


def problem(
    status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a refusal."""
    body = {"error": {"code": code or _CODES.get(status, "error"), "message": message}}
    given = dict(headers or {})
    if status in (429, 503):
        given.setdefault("Retry-After", "1")
    # Text that is no UTF-8 can only come from a request; it is not worth an error of its own.
    text = orjson.dumps(body, default=str)
    return Response(text, status, headers=given, media_type="application/json")


async def of_cigf(request: Request, error: Exception) -> Response:
    """Answer an error of cigf."""
    for kind in type(error).__mro__:
        if kind in _STATUSES:
            status, code = _STATUSES[kind]
            return problem(status, str(error), code)
    return problem(500, "the server failed; its log says why", "internal")


async def of_http(request: Request, error: Exception) -> Response:
    """Answer an error of HTTP itself."""
    assert isinstance(error, HTTPException)
    return problem(error.status_code, str(error.detail), headers=error.headers)


async def of_validation(request: Request, error: Exception) -> Response:
    """Answer a request of the wrong form; what was given is not repeated."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:] or first["loc"])
    return problem(422, f"{place}: {first['msg']}", "invalid_request")
