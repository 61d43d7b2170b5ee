"""Waiting, in an event loop, for what a thread computes."""

import asyncio
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


async def wait_for(future: "Future[Result]") -> Result:
    """Return the result; one that is there already costs nothing."""
    return future.result() if future.done() else await asyncio.wrap_future(future)
