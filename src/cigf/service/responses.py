"""What the document of the interface says of refusals, and parameters that several routes have."""

from typing import Annotated, Any

import orjson
from fastapi import Path, Query, Response

from cigf.service.schemas import LONGEST_ID, ErrorAnswer

IdInPath = Annotated[
    str, Path(min_length=1, max_length=LONGEST_ID, openapi_examples={"one": {"value": "u17"}})
]
"""An id in a path."""

ModelName = Annotated[
    str | None, Query(max_length=LONGEST_ID, description="Name of a model; default: the first.")
]

BehaviorName = Annotated[
    str | None,
    Query(max_length=LONGEST_ID, description="What is predicted; default: the target."),
]

_MEANINGS = {
    400: "The request is not HTTP, or its body is not in UTF-8.",
    401: "The token is missing or wrong.",
    403: "Admin calls are off.",
    404: "There is no such model, item or page.",
    408: "The request was not read in time.",
    409: "A model cannot be loaded; the old ones stay in use.",
    413: "The body, or a list in it, is too long.",
    422: "The request is not of the right form.",
    429: "Too many requests at the same time.",
    501: "The scores of this model cannot be explained.",
    503: "The request was not answered in time, or the disk is full.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the refusals of a route: those that all routes have, and these."""
    always = (400, 401, 408, 413, 422, 429, 503)
    return {
        status: {"description": _MEANINGS[status], "model": ErrorAnswer}
        for status in sorted({*always, *statuses})
    }


def as_json(value: Any) -> Response:
    """Return an answer."""
    return Response(orjson.dumps(value), media_type="application/json")
