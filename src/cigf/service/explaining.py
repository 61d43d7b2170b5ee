"""The routes that say why a user gets an item."""

from typing import Annotated, Any
from urllib.parse import unquote_to_bytes

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.exceptions import HTTPException

from cigf.service.answers import source
from cigf.service.responses import BehaviorName, IdInPath, ModelName, as_json, problems
from cigf.service.schemas import LONGEST_ID, WhyAnswer
from cigf.service.service import RecommenderService
from cigf.service.waiting import wait_for

_SEGMENTS = 3
"""Of a path that names an item: explain, user, item."""

_Part = Annotated[
    str,
    Path(
        json_schema_extra={"minLength": 1, "maxLength": LONGEST_ID},
        openapi_examples={"one": {"value": "u17"}},
    ),
]
"""One of two ids in a path; `_segments` finds where one ends, and checks them."""

Paths = Annotated[int, Query(ge=1, le=100, description="Most paths that are put into words.")]


def add_explanations(router: APIRouter, service: RecommenderService) -> None:
    """Add the routes."""

    async def why(
        user: str, item: str | None, k: int, behavior: str | None, model: str | None
    ) -> Response:
        served = service.models.get(model)
        found = await wait_for(service.explain(served, user, item, behavior, k))
        return as_json({**source(served), **_plain(found.to_json())})

    # An id may hold a slash, written as %2F: the path as it was sent tells where an id ends.
    @router.get(
        "/explain/{user:path}/{item:path}",
        response_model=WhyAnswer,
        responses=problems(404, 409, 501),
        summary="Why a user gets an item",
    )
    async def explain_item(
        request: Request,
        user: _Part,
        item: _Part,
        k: Paths = 5,
        behavior: BehaviorName = None,
        model: ModelName = None,
    ) -> Response:
        named = _segments(request)
        return await why(named[0], named[1] if len(named) > 1 else None, k, behavior, model)

    @router.get(
        "/explain/{user:path}",
        response_model=WhyAnswer,
        responses=problems(404, 409, 501),
        summary="Why a user gets her first item",
    )
    async def explain_first(
        user: IdInPath, k: Paths = 5, behavior: BehaviorName = None, model: ModelName = None
    ) -> Response:
        return await why(user, None, k, behavior, model)


def _segments(request: Request) -> list[str]:
    """Return the user and, if there is one, the item of a path."""
    raw: bytes = request.scope.get("raw_path") or b""
    parts = raw.partition(b"?")[0].split(b"/")[2:]
    named = [unquote_to_bytes(part).decode(errors="replace") for part in parts]
    if len(named) >= _SEGMENTS:
        raise HTTPException(422, "user, item: write a slash within an id as %2F")
    for name, each in zip(("user", "item"), named, strict=False):
        if not each:
            raise HTTPException(422, f"{name}: String should have at least 1 character")
        if len(each) > LONGEST_ID:
            raise HTTPException(422, f"{name}: an id has 1 to {LONGEST_ID} characters")
    return named


def _plain(why: dict[str, Any]) -> dict[str, Any]:
    return {"user_id": why.pop("user"), "item_id": why.pop("item"), **why}
