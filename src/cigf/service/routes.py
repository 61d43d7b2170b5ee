"""The routes: each puts a request in the service's terms, and its answer in JSON."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Annotated, Any, TypeVar

import orjson
from fastapi import APIRouter, Path, Query, Response
from starlette.exceptions import HTTPException

from cigf.data.tasks import Group
from cigf.service.answers import about, one_list, plain_items, plain_list, source
from cigf.service.asked import ListOptions, ListRequest
from cigf.service.event_log import Event
from cigf.service.event_store import Done
from cigf.service.page import PAGE, POLICY
from cigf.service.problems import problem
from cigf.service.schemas import (
    LONGEST_ID,
    ErrorAnswer,
    EventsAnswer,
    EventsBody,
    HealthAnswer,
    ListBody,
    ListsAnswer,
    ModelsAnswer,
    OneListAnswer,
    SessionEvent,
    SimilarAnswer,
)
from cigf.service.service import RecommenderService
from cigf.service.settings import Limits
from cigf.service.telemetry import Log, Metrics

Result = TypeVar("Result")

_MEANINGS = {
    401: "The token is missing or wrong.",
    403: "Admin calls are off.",
    404: "There is no such model, item or page.",
    408: "The request was not read in time.",
    409: "A model cannot be loaded; the old ones stay in use.",
    413: "The body, or a list in it, is too long.",
    422: "The request is not of the right form.",
    429: "Too many requests at the same time.",
    503: "The request was not answered in time, or the disk is full.",
}


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    always = (401, 408, 413, 422, 429, 503)
    return {
        status: {"description": _MEANINGS[status], "model": ErrorAnswer}
        for status in sorted({*always, *statuses})
    }


def build_routes(
    service: RecommenderService, metrics: Metrics, log: Log | None, clock: Callable[[], float]
) -> APIRouter:
    """Return all routes.

    Args:
        service: What answers.
        metrics: Counts events and reloads.
        log: Tells of reloads.
        clock: Seconds since 1970, for events without a time.
    """
    router = APIRouter()
    _add_lists(router, service)
    _add_events(router, service, metrics, clock)
    _add_models(router, service, metrics, log)
    _add_health(router, service, metrics)
    return router


def _add_lists(router: APIRouter, service: RecommenderService) -> None:
    limits = service.limits
    longest = Annotated[int, Query(ge=1, le=limits.max_k, description="Length of the list.")]
    name = Annotated[str | None, Query(max_length=LONGEST_ID, description="Name of a model.")]
    an_id = Annotated[
        str, Path(min_length=1, max_length=LONGEST_ID, openapi_examples={"one": {"value": "u17"}})
    ]

    @router.get(
        "/recommend/{user:path}",
        response_model=OneListAnswer,
        responses=_problems(404),
        summary="A user's list",
    )
    async def recommend_one(
        user: an_id,
        k: longest = 10,
        only: Annotated[Group, Query(description="Which items.")] = "all",
        behavior: Annotated[str | None, Query(max_length=LONGEST_ID)] = None,
        exclude: Annotated[
            list[str] | None, Query(description="Behaviors whose items are left out.")
        ] = None,
        model: name = None,
    ) -> Response:
        options = ListOptions(k, only, behavior, None if exclude is None else tuple(exclude))
        (found,) = await _wait(service.recommend(ListRequest((user,), options, model=model)))
        return _json(one_list(found))

    @router.post(
        "/recommend", response_model=ListsAnswer, responses=_problems(404), summary="Several lists"
    )
    async def recommend_many(body: ListBody) -> Response:
        lists = await _wait(service.recommend(_request(body, limits)))
        return _json({**source(lists[0].model), "lists": [plain_list(each) for each in lists]})

    @router.get(
        "/similar/{item:path}",
        response_model=SimilarAnswer,
        responses=_problems(404),
        summary="Nearest items",
    )
    async def similar(item: an_id, k: longest = 10, model: name = None) -> Response:
        served = service.models.get(model)
        ids, cosines = await asyncio.to_thread(served.similar, item, k)
        return _json({**source(served), "item_id": item, "items": plain_items(ids, cosines)})


def _add_events(
    router: APIRouter, service: RecommenderService, metrics: Metrics, clock: Callable[[], float]
) -> None:
    @router.post(
        "/events",
        response_model=EventsAnswer,
        responses=_problems(),
        summary="Keep events; they count for the users' next lists",
    )
    async def add_events(body: EventsBody) -> Response:
        _check_length("events", body.events, service.limits.max_events)
        now = int(1000 * clock())
        events = [
            Event(
                str(each.user_id),
                str(each.item_id),
                each.behavior,
                now if each.timestamp is None else each.timestamp,
            )
            for each in body.events
        ]
        accepted = await _wait(service.add_events(events))
        metrics.events.inc(accepted)
        return _json({"accepted": accepted})


def _add_models(
    router: APIRouter, service: RecommenderService, metrics: Metrics, log: Log | None
) -> None:
    @router.get(
        "/models", response_model=ModelsAnswer, responses=_problems(), summary="The loaded models"
    )
    async def models() -> Response:
        return _json({"models": [about(each) for each in service.models]})

    @router.post(
        "/models/reload",
        response_model=ModelsAnswer,
        responses=_problems(403, 409),
        summary="Load all models anew from their folders (admin)",
    )
    async def reload() -> Response:
        loaded = [about(each) for each in await asyncio.to_thread(service.models.reload)]
        metrics.reloads.inc()
        if log:
            log.write("reloaded", models=loaded)
        return _json({"models": loaded})


def _add_health(router: APIRouter, service: RecommenderService, metrics: Metrics) -> None:
    @router.get("/healthz", response_model=HealthAnswer, summary="The process is alive")
    async def healthz() -> Response:
        return _json({"status": "ok"})

    @router.get(
        "/readyz",
        response_model=HealthAnswer,
        responses={503: {"description": "It is stopping.", "model": ErrorAnswer}},
        summary="Requests will be answered",
    )
    async def readyz() -> Response:
        return (
            _json({"status": "ok"}) if service.is_open else problem(503, "the server is stopping")
        )

    @router.get(
        "/metrics",
        responses={200: {"content": {"text/plain": {}}}, **_problems()},
        response_class=Response,
        summary="Prometheus metrics",
    )
    async def read_metrics() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @router.get("/", include_in_schema=False)
    async def page() -> Response:
        return Response(PAGE, media_type="text/html", headers={"Content-Security-Policy": POLICY})


def _request(body: ListBody, limits: Limits) -> ListRequest:
    users, events = body.users or [], body.events or []
    if not (users or events) or (events and len(users) > 1):
        raise HTTPException(422, "give users, or the events of one user")
    _check_length("users", users, limits.max_users)
    _check_length("events", events, limits.max_events)
    for name, items in (("allow", body.allow), ("deny", body.deny)):
        _check_length(name, items or [], limits.max_items)
    if body.k > limits.max_k:
        raise HTTPException(422, f"k: at most {limits.max_k}")
    options = ListOptions(
        body.k,
        body.only,
        body.behavior,
        None if body.exclude is None else tuple(body.exclude),
        _texts(body.allow),
        _texts(body.deny),
    )
    return ListRequest(_texts(users) or (None,), options, _done(events), body.model)


def _check_length(name: str, values: Sequence[Any], most: int) -> None:
    if len(values) > most:
        raise HTTPException(413, f"{name}: {len(values)} given; at most {most} at a time")


def _texts(ids: Sequence[str | int] | None) -> tuple[str, ...] | None:
    return None if ids is None else tuple(map(str, ids))


def _done(events: Sequence[SessionEvent]) -> Done:
    done: Done = {}
    for event in events:
        done[event.behavior] = (*done.get(event.behavior, ()), str(event.item_id))
    return done


async def _wait(future: "Future[Result]") -> Result:
    return future.result() if future.done() else await asyncio.wrap_future(future)


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
