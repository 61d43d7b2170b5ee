"""The routes: each puts a request in the service's terms, and its answer in JSON."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from starlette.exceptions import HTTPException

from cigf.data.tasks import Group
from cigf.service.answers import about, one_list, plain_items, plain_list, source
from cigf.service.asked import ListOptions, ListRequest
from cigf.service.event_log import Event
from cigf.service.event_store import Done
from cigf.service.explaining import add_explanations
from cigf.service.page import PAGE, POLICY
from cigf.service.problems import problem
from cigf.service.responses import BehaviorName, IdInPath, ModelName, as_json, problems
from cigf.service.schemas import (
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
from cigf.service.waiting import wait_for


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
    add_explanations(router, service)
    _add_events(router, service, metrics, clock)
    _add_models(router, service, metrics, log)
    _add_health(router, service, metrics)
    return router


def _add_lists(router: APIRouter, service: RecommenderService) -> None:
    limits = service.limits
    longest = Annotated[int, Query(ge=1, le=limits.max_k, description="Length of the list.")]

    @router.get(
        "/recommend/{user:path}",
        response_model=OneListAnswer,
        responses=problems(404),
        summary="A user's list",
    )
    async def recommend_one(
        user: IdInPath,
        k: longest = 10,
        only: Annotated[Group, Query(description="Which items.")] = "all",
        behavior: BehaviorName = None,
        exclude: Annotated[
            list[str] | None, Query(description="Behaviors whose items are left out.")
        ] = None,
        scores: Annotated[
            list[str] | None, Query(description="Behaviors whose scores are added.")
        ] = None,
        model: ModelName = None,
    ) -> Response:
        excluded = None if exclude is None else tuple(exclude)
        options = ListOptions(k, only, behavior, excluded, scores=tuple(scores or ()))
        (found,) = await wait_for(service.recommend(ListRequest((user,), options, model=model)))
        return as_json(one_list(found))

    @router.post(
        "/recommend", response_model=ListsAnswer, responses=problems(404), summary="Several lists"
    )
    async def recommend_many(body: ListBody) -> Response:
        lists = await wait_for(service.recommend(_request(body, limits)))
        return as_json({**source(lists[0].model), "lists": [plain_list(each) for each in lists]})

    @router.get(
        "/similar/{item:path}",
        response_model=SimilarAnswer,
        responses=problems(404),
        summary="Nearest items",
    )
    async def similar(item: IdInPath, k: longest = 10, model: ModelName = None) -> Response:
        served = service.models.get(model)
        ids, cosines = await asyncio.to_thread(served.similar, item, k)
        return as_json({**source(served), "item_id": item, "items": plain_items(ids, cosines)})


def _add_events(
    router: APIRouter, service: RecommenderService, metrics: Metrics, clock: Callable[[], float]
) -> None:
    @router.post(
        "/events",
        response_model=EventsAnswer,
        responses=problems(),
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
        accepted = await wait_for(service.add_events(events))
        metrics.events.inc(accepted)
        return as_json({"accepted": accepted})


def _add_models(
    router: APIRouter, service: RecommenderService, metrics: Metrics, log: Log | None
) -> None:
    @router.get(
        "/models", response_model=ModelsAnswer, responses=problems(), summary="The loaded models"
    )
    async def models() -> Response:
        return as_json({"models": [about(each) for each in service.models]})

    @router.post(
        "/models/reload",
        response_model=ModelsAnswer,
        responses=problems(403, 409),
        summary="Load all models anew from their folders (admin)",
    )
    async def reload() -> Response:
        loaded = [about(each) for each in await asyncio.to_thread(service.models.reload)]
        metrics.reloads.inc()
        if log:
            log.write("reloaded", models=loaded)
        return as_json({"models": loaded})


def _add_health(router: APIRouter, service: RecommenderService, metrics: Metrics) -> None:
    @router.get("/healthz", response_model=HealthAnswer, summary="The process is alive")
    async def healthz() -> Response:
        return as_json({"status": "ok"})

    @router.get(
        "/readyz",
        response_model=HealthAnswer,
        responses={503: {"description": "It is stopping.", "model": ErrorAnswer}},
        summary="Requests will be answered",
    )
    async def readyz() -> Response:
        return (
            as_json({"status": "ok"}) if service.is_open else problem(503, "the server is stopping")
        )

    @router.get(
        "/metrics",
        responses={200: {"content": {"text/plain": {}}}, **problems()},
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
        tuple(body.scores or ()),
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
