"""A server killed at random moments while it takes events: which acknowledged ones are lost."""

import asyncio
import json
import random
import tempfile
from contextlib import suppress
from pathlib import Path

from benchmarks.common import Figure, Options, say
from benchmarks.load import connect, is_good, post
from benchmarks.served import Served
from benchmarks.shop import small_artifact
from cigf.service.event_log import EventLog

KILLS = 100
CONNECTIONS = 4
LONGEST = 0.5
"""Seconds that a server lives after it has acknowledged an event."""
PATIENCE = 60.0
"""Seconds after which a server is killed that acknowledges none."""


def run(options: Options, kills: int = KILLS) -> list[Figure]:
    """Start, post and kill, again and again, with one log; then read it."""
    generator = random.Random(0)
    with tempfile.TemporaryDirectory() as work:
        artifact, log = small_artifact(Path(work) / "artifact"), Path(work) / "events.jsonl"
        acknowledged: list[int] = []
        for number in range(kills):
            with Served(artifact, log) as server:
                sent = post_until_killed(server, 1_000_000 * number, generator.uniform(0, LONGEST))
                acknowledged += sent
            lost = _lost(log, acknowledged)
            if number % 10 == 9:
                say(f"{number + 1} kills, {len(acknowledged)} acknowledged, {lost} lost")
        kept = _read(log)
    return [
        Figure("kills", kills, digits=0),
        Figure("acknowledged events", len(acknowledged), digits=0),
        Figure("events in the log", len(kept), digits=0),
        Figure("acknowledged events that are lost", _missing(kept, acknowledged), digits=0, must=0),
        Figure("events that are there twice", len(kept) - len(set(kept)), digits=0, must=0),
    ]


def post_until_killed(server: Served, first: int, seconds: float) -> list[int]:
    """Post events, each with a number, and kill the server; return what it acknowledged.

    The seconds count from the first acknowledgement: how long a busy machine takes until then
    would else decide whether there is any.
    """
    acknowledged: list[int] = []
    begun = asyncio.Event()

    async def post_on(start: int) -> None:
        connection = await connect(server.port)
        for number in range(start, start + 1_000_000, CONNECTIONS):
            event = {"user_id": "u1", "item_id": "i1", "behavior": "view", "timestamp": number}
            try:
                answer = await connection.ask(
                    post("/events", json.dumps({"events": [event]}).encode())
                )
            except OSError:
                return
            if is_good(answer):
                acknowledged.append(number)
                begun.set()

    async def work() -> None:
        posting = asyncio.gather(*(post_on(first + each) for each in range(CONNECTIONS)))
        with suppress(TimeoutError):
            await asyncio.wait_for(begun.wait(), PATIENCE)
            await asyncio.sleep(seconds)
        server.process.kill()
        await posting

    asyncio.run(work())
    server.kill()
    return acknowledged


def _lost(log: Path, acknowledged: list[int]) -> int:
    lost = _missing(_read(log), acknowledged)
    if lost:
        say(f"LOST: {lost} acknowledged events")
    return lost


def _missing(kept: list[int], acknowledged: list[int]) -> int:
    return len(set(acknowledged) - set(kept))


def _read(log: Path) -> list[int]:
    """Return the numbers of all events, as a server reads them that starts again."""
    opened = EventLog(log)
    try:
        return [event.timestamp for event in opened.replay()]
    finally:
        opened.close()
