"""A server under mixed load with a reload every 20 seconds: errors, latency, memory."""

import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import mean
from time import perf_counter

from benchmarks.common import Figure, Options, say
from benchmarks.load import Outcome, connect, get, is_good, post
from benchmarks.served import ADMIN, Served
from benchmarks.shop import small_artifact

RELOAD = 20.0
RATE = 100.0
CONNECTIONS = 8
N_USERS, N_ITEMS = 3000, 2000


def request(number: int) -> bytes:
    """Return the n-th request: mostly lists; sessions, events, similar items, explanations."""
    user, item = f"u{7 * number % N_USERS}", f"i{11 * number % N_ITEMS}"
    event = {"item_id": item, "behavior": "view"}
    kind = number % 20
    if kind in (3, 13):
        return post("/recommend", json.dumps({"events": [event], "k": 20}).encode())
    if kind in (5, 15):
        body = {"events": [{**event, "user_id": user}]}
        return post("/events", json.dumps(body).encode())
    special = {7: f"/similar/{item}", 11: f"/explain/{user}/{item}", 17: "/metrics"}
    return get(special.get(kind, f"/recommend/{user}?k=10"))


def run(options: Options, seconds: float | None = None) -> list[Figure]:
    """Load a server for the given time."""
    duration = options.seconds if seconds is None else seconds
    with tempfile.TemporaryDirectory() as work:
        artifact = small_artifact(Path(work) / "artifact", N_USERS, N_ITEMS)
        with Served(artifact, Path(work) / "events.jsonl") as server:
            outcome, reloads, memory = asyncio.run(_soak(server, duration))
            server.process.terminate()
            server.process.communicate(timeout=30)
            code = server.process.returncode
    return [
        Figure("seconds", outcome.seconds, digits=0),
        Figure("answers", len(outcome.latencies), digits=0),
        Figure("errors", outcome.errors, digits=0, must=0),
        Figure("reloads", reloads, digits=0),
        Figure("p50", outcome.milliseconds(0.5), "ms"),
        Figure("p99", outcome.milliseconds(0.99), "ms"),
        Figure("memory at the end", memory[-1], "MB", 0, tuple(memory)),
        Figure("growth of memory, second half", 100 * growth(memory), "%", must=5.0),
        Figure("exit code after SIGTERM", code, digits=0, must=0),
    ]


def growth(memory: list[float]) -> float:
    """Return by how much the last quarter's mean exceeds the third quarter's beginning."""
    half = memory[len(memory) // 2 :]
    parts = half[: max(1, len(half) // 3)], half[-max(1, len(half) // 3) :]
    return mean(parts[1]) / mean(parts[0]) - 1


async def _soak(server: Served, seconds: float) -> tuple[Outcome, int, list[float]]:
    connection = await connect(server.port)
    while not is_good(await connection.ask(get("/explain/u1"))):
        await asyncio.sleep(1.0)  # until all is loaded
    await connection.close()
    outcome, memory, began = Outcome(), [server.memory_mb], perf_counter()
    reloads = 0
    connections = [await connect(server.port) for _ in range(CONNECTIONS)]

    async def ask_on(first: int) -> None:
        number = first
        while (due := began + number / RATE) < began + seconds:
            await asyncio.sleep(due - perf_counter())
            start = perf_counter()
            answer = await connections[first].ask(request(number))
            outcome.latencies.append(perf_counter() - start)
            if not is_good(answer):
                outcome.errors += 1
                say(f"{request(number)[:80]!r}: {answer[:200]!r}")
            number += CONNECTIONS

    async def reload_on() -> None:
        nonlocal reloads
        connection = await connect(server.port)
        while perf_counter() + RELOAD < began + seconds:
            await asyncio.sleep(RELOAD)
            answer = await connection.ask(post("/models/reload", b"", ADMIN))
            outcome.errors += not is_good(answer)
            reloads += 1
        await connection.close()

    async def look() -> None:
        while perf_counter() < began + seconds:
            await asyncio.sleep(min(RELOAD / 4, seconds / 8))
            memory.append(server.memory_mb)

    tasks: list[Callable[[], Awaitable[None]]] = [reload_on, look]
    await asyncio.gather(*map(ask_on, range(CONNECTIONS)), *(each() for each in tasks))
    outcome.seconds = perf_counter() - began
    for connection in connections:
        await connection.close()
    return outcome, reloads, memory
