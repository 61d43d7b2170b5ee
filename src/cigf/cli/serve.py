"""cigf serve."""

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from cigf.errors import ConfigError, MissingExtraError


def serve(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Folders written by cigf train; NAME=RUN names the model, else its folder does. "
            "The first is the default.",
        ),
    ],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8080,
    events: Annotated[
        Path | None,
        typer.Option(help="File in which posted events are kept.", show_default="none are taken"),
    ] = None,
    limits: Annotated[
        list[str] | None,
        typer.Option("--limit", metavar="KEY=VALUE", help="Change one limit; repeatable."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Do not log each request.")] = False,
) -> None:
    """Answer requests for recommendations over HTTP.

    CIGF_TOKEN in the environment asks callers for that token, CIGF_ADMIN_TOKEN allows reloading.

    Example: cigf serve RUN --port 8080 --events events.jsonl
    """
    # Several threads for one small product wait for each other longer than they work.
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    try:
        from cigf.service.app import build_app
        from cigf.service.server import serve as run
        from cigf.service.telemetry import Log
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "fastapi", "serve", "cigf serve") from None
    from cigf.config import merge_settings
    from cigf.service.service import RecommenderService
    from cigf.service.settings import Limits, Tokens

    chosen = Limits.parse(merge_settings({}, limits or []), "limit")
    log = Log(time.time, requests=not quiet)
    service = RecommenderService(_by_name(runs), events, chosen)
    app = build_app(service, Tokens.from_environment(os.environ), time.time, log)
    try:
        run(app, host, port, chosen, log)
    finally:
        service.close()


def _by_name(runs: list[str]) -> dict[str, Path]:
    paths: dict[str, Path] = {}
    for text in runs:
        name, equals, path = text.partition("=")
        if not equals or "/" in name:
            name, path = Path(text).resolve().name, text
        if name in paths:
            raise ConfigError(
                f"two models are called {name!r}, by the names of their folders; "
                "name them apart: NAME=RUN"
            )
        paths[name] = Path(path)
    return paths
