"""The server: start, lists per second, latency under a given rate, events per second.

Everything goes over the loopback interface; the load generator shares the cores with the server.
"""

import json
import tempfile
from pathlib import Path

from benchmarks.common import FAST, Figure, Options, median_of, trained_run
from benchmarks.load import Outcome, as_fast_as_possible, at_rate, get, post
from benchmarks.served import Served
from cigf.experiment.config import load_experiment
from cigf.inference.opened import open_artifact

EPOCHS = 15
"""Speed does not depend on how good the lists are."""

RATE = 500
GROUP = 20
"""Events of one post."""


def run(options: Options, seconds: float = 5.0) -> list[Figure]:
    """Train or take a short run, and load a server that has it."""
    config = load_experiment(FAST, [f"training.epochs={EPOCHS}"])
    folder = trained_run(options.dataset, options.work / "runs" / "serving", config).path
    history = open_artifact(folder).history
    users = [str(user) for user in history.users.ids.to_list()]
    items = [str(item) for item in history.items.ids.to_list()]
    figures = _starts(folder, options.repeats)
    with tempfile.TemporaryDirectory() as work:
        with Served(folder) as server:
            for connections in (1, 8, 16):
                figures += _throughput(server.port, users, connections, seconds, options.repeats)
            figures += _latency(server.port, users, seconds)
        with Served(folder, Path(work) / "events.jsonl") as server:
            figures += _events(server.port, users, items, seconds, options.repeats)
            figures += _folded(server.port, users, seconds)
    return figures


def _starts(folder: Path, repeats: int) -> list[Figure]:
    seconds = []
    for _ in range(repeats):
        with Served(folder) as server:
            seconds.append(server.seconds)
    return [median_of("start until ready", seconds, "s", must=2.0)]


def _lists(users: list[str]) -> list[bytes]:
    return [get(f"/recommend/{user}?k=10") for user in users]


def _throughput(
    port: int, users: list[str], connections: int, seconds: float, repeats: int
) -> list[Figure]:
    asked = _lists(users)
    found = [
        as_fast_as_possible(port, lambda n: asked[n % len(asked)], connections, seconds)
        for _ in range(repeats)
    ]
    rates = [each.rate for each in found]
    name = f"lists, {connections} connections"
    must = None if connections == 1 else 1000.0
    return [
        Figure(f"{name}, median", _median(rates), "/s", 0, tuple(rates), must, at_least=True),
        _errors(name, found),
    ]


def _latency(port: int, users: list[str], seconds: float) -> list[Figure]:
    asked = _lists(users)
    found = at_rate(port, lambda n: asked[n % len(asked)], RATE, seconds)
    return [
        Figure(f"lists at {RATE}/s, p50", found.milliseconds(0.5), "ms"),
        Figure(f"lists at {RATE}/s, p99", found.milliseconds(0.99), "ms", must=25.0),
        _errors(f"lists at {RATE}/s", [found]),
    ]


def _events(
    port: int, users: list[str], items: list[str], seconds: float, repeats: int
) -> list[Figure]:
    def make(number: int) -> bytes:
        events = [
            {
                "user_id": users[(7 * number + each) % len(users)],
                "item_id": items[(13 * number + 5 * each) % len(items)],
                "behavior": "view",
            }
            for each in range(GROUP)
        ]
        return post("/events", json.dumps({"events": events}).encode())

    found = [as_fast_as_possible(port, make, 16, seconds) for _ in range(repeats)]
    rates = tuple(GROUP * each.rate for each in found)
    name = f"events in posts of {GROUP}, on the disk, median"
    return [
        Figure(name, _median(rates), "/s", 0, rates, must=2000.0, at_least=True),
        _errors("events", found),
    ]


def _folded(port: int, users: list[str], seconds: float) -> list[Figure]:
    """Lists of users who have new events: represented once, then answered as all others."""
    asked = _lists(users)
    found = as_fast_as_possible(port, lambda n: asked[n % len(asked)], 8, seconds)
    return [
        Figure("lists after new events, 8 connections", found.rate, "/s", 0),
        _errors("lists after new events", [found]),
    ]


def _errors(name: str, outcomes: list[Outcome]) -> Figure:
    return Figure(f"{name}, errors", sum(each.errors for each in outcomes), digits=0, must=0)


def _median(values: list[float] | tuple[float, ...]) -> float:
    return sorted(values)[len(values) // 2]
