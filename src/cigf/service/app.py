"""The HTTP application over a `RecommenderService`."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from cigf.errors import CigfError
from cigf.service.gate import ADMIN, OPEN, Gate
from cigf.service.lane import Lane
from cigf.service.problems import of_cigf, of_http, of_validation
from cigf.service.routes import build_routes
from cigf.service.schemas import LONGEST_ID
from cigf.service.service import RecommenderService
from cigf.service.settings import Tokens
from cigf.service.telemetry import Log, Metrics

_LATER = 1.0
"""Seconds for first requests before the rest is loaded, which slows them down while it lasts."""

_ABOUT = "Recommendations from trained models. Every refusal has a body with error.code and "
_ABOUT += "error.message."


def build_app(
    service: RecommenderService, tokens: Tokens, clock: Callable[[], float], log: Log | None = None
) -> ASGIApp:
    """Return the application; it closes the service when it ends.

    Args:
        service: What answers.
        tokens: Who may call.
        clock: Seconds since 1970.
        log: Where to tell of requests; None: nowhere.
    """

    def tell_failure(model: str, error: BaseException) -> None:
        if log:
            log.write("not loaded", model=model, message=str(error))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        n_torn, kept = service.torn
        if log and n_torn:
            log.write("torn", bytes=n_torn, moved_to=str(kept))
        asyncio.get_running_loop().call_later(_LATER, service.load_rest, tell_failure)
        yield
        service.close()

    # The usual pages of documentation load scripts from elsewhere; /openapi.json needs none.
    app = FastAPI(
        title="cigf",
        description=_ABOUT,
        version=version("cigf"),
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    metrics = Metrics(service)
    app.include_router(build_routes(service, metrics, log, clock))
    for kind in (CigfError, Exception):
        app.add_exception_handler(kind, of_cigf)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(RequestValidationError, of_validation)
    _document_tokens(app)
    lane = Lane(service, LONGEST_ID)
    return Gate(app, lane, limits=service.limits, tokens=tokens, metrics=metrics, log=log)


def _document_tokens(app: FastAPI) -> None:
    """Say in the OpenAPI document which calls need a token."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        document = make()
        schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["token"] = {"type": "http", "scheme": "bearer"}
        schemes["admin"] = {"type": "http", "scheme": "bearer"}
        for path, calls in document["paths"].items():
            for call in calls.values():
                if path not in OPEN:
                    call["security"] = [{"admin" if path in ADMIN else "token": []}]
        return document

    app.openapi = openapi  # type: ignore[method-assign]
