"""What a server tells of itself: Prometheus metrics, and a line of JSON per event of its life.

Logs name routes, never ids, bodies or tokens.
"""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from cigf.service.service import RecommenderService

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0)


def _to_stderr(line: bytes) -> None:
    sys.stderr.buffer.write(line)
    sys.stderr.buffer.flush()


class Log:
    """Lines of JSON on stderr.

    Args:
        clock: Seconds since 1970.
        write: Takes each line.
        requests: Whether it tells of each request.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        write: Callable[[bytes], Any] = _to_stderr,
        *,
        requests: bool = True,
    ) -> None:
        self._clock = clock
        self._write = write
        self.requests = requests

    def write(self, event: str, **values: Any) -> None:
        """Write a line."""
        time = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
        self._write(orjson.dumps({"time": time, "event": event, **values}) + b"\n")


class Metrics:
    """Counters of one server.

    Args:
        service: What some of them are read from.
    """

    def __init__(self, service: RecommenderService) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "cigf_requests",
            "Answered requests.",
            ("route", "method", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "cigf_request_seconds",
            "Time from request to answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        # To look a label's counter up takes longer than to count.
        self._counter = lru_cache(maxsize=None)(
            lambda route, method, status: self._requests.labels(route, method, str(status))
        )
        self._histogram = lru_cache(maxsize=None)(self._seconds.labels)
        self.events = Counter("cigf_events", "Acknowledged events.", registry=self._registry)
        self.reloads = Counter("cigf_reloads", "Finished reloads.", registry=self._registry)
        self.gauge("cigf_requests_waiting", "Lists that wait.", lambda: service.n_waiting)
        self.gauge("cigf_events_remembered", "Events in memory.", lambda: service.n_events)
        self.gauge("cigf_models", "Loaded models.", lambda: sum(1 for _ in service.models))

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._counter(route, method, status).inc()
        self._histogram(route).observe(seconds)

    def text(self) -> bytes:
        """Return all of them in Prometheus' form."""
        return generate_latest(self._registry)

    def gauge(self, name: str, about: str, read: Callable[[], int]) -> None:
        """Add a figure that is read when somebody looks."""
        Gauge(name, about, registry=self._registry).set_function(lambda: float(read()))
