"""Lane: the short way for the plainest and most frequent request, one user's list.

It gives the same bytes as the route of FastAPI, whose reading of parameters takes longer than to
compute the list. Whatever is not plain, or goes wrong, is left to that route.
"""

import re
from types import SimpleNamespace

import orjson
from starlette.types import Scope

from cigf.errors import CigfError
from cigf.service.answers import one_list
from cigf.service.asked import ListOptions, ListRequest
from cigf.service.service import RecommenderService
from cigf.service.waiting import wait_for

_PATH = "/recommend/"
_QUERY = re.compile(rb"(?:k=([1-9][0-9]{0,3}))?")
_ROUTE = SimpleNamespace(path_format="/recommend/{user}")


class Lane:
    """Answers `GET /recommend/{user}`, with k or without any parameter.

    Args:
        service: What answers.
        longest_id: Most characters of an id.
    """

    def __init__(self, service: RecommenderService, longest_id: int) -> None:
        self._service = service
        self._longest_id = longest_id

    async def answer(self, scope: Scope) -> bytes | None:
        """Return the body of the answer; None leaves the request to the other way."""
        path: str = scope["path"]
        if scope["method"] != "GET" or not path.startswith(_PATH):
            return None
        user, query = path[len(_PATH) :], _QUERY.fullmatch(scope["query_string"])
        if query is None or not 0 < len(user) <= self._longest_id:
            return None
        k = int(query[1]) if query[1] else ListOptions.k
        if k > self._service.limits.max_k:
            return None
        try:
            (found,) = await wait_for(self._service.recommend(ListRequest((user,), ListOptions(k))))
        except CigfError:
            return None
        scope["route"] = _ROUTE
        return orjson.dumps(one_list(found))
