"""Choosing by measurement: once, the first way unless another one is clearly faster."""

from threading import Thread

import pytest
import torch

from cigf.graph import fastest as module
from cigf.graph.fastest import fastest, measured

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Ways take the time that they say; nothing is known before."""
    now = [0.0]
    monkeypatch.setattr(module, "_known", {})
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    return now


@pytest.fixture
def way(clock):
    def build(seconds):
        def work():
            clock[0] += seconds

        return work

    return build


@pytest.mark.parametrize(
    ("times", "chosen"),
    [((1.0, 2.0), "a"), ((2.0, 1.0), "b"), ((1.05, 1.0), "a"), ((1.0, 1.0), "a")],
)
def test_another_way_must_be_clearly_faster(times, chosen, way):
    ways = {name: way(seconds) for name, seconds in zip("ab", times, strict=True)}
    assert fastest("sum", (3,), ways, CPU) == chosen
    (known,) = measured()
    assert known.operation == "sum"
    assert known.chosen == chosen
    assert list(known.seconds.values()) == pytest.approx(list(times))


def test_sizes_of_one_magnitude_are_measured_once(way, clock):
    def fails():
        raise AssertionError("measured again")

    assert fastest("sum", (32, 7), {"a": way(2.0), "b": way(1.0)}, CPU) == "b"
    before = clock[0]
    assert fastest("sum", (63, 4), {"a": fails, "b": fails}, CPU) == "b"
    assert clock[0] == before
    assert fastest("sum", (64, 4), {"a": way(1.0), "b": way(2.0)}, CPU) == "a"
    assert fastest("other", (32, 7), {"a": way(1.0), "b": way(2.0)}, CPU) == "a"


def test_a_way_that_needs_too_much_memory_is_left_out(way):
    def fails():
        raise torch.OutOfMemoryError

    assert fastest("sum", (1,), {"a": fails, "b": way(9.0)}, CPU) == "b"


def test_other_failures_are_not_hidden(way):
    def fails():
        raise RuntimeError("broken kernel")

    with pytest.raises(RuntimeError, match="broken kernel"):
        fastest("sum", (1,), {"a": way(1.0), "b": fails}, CPU)


def test_a_way_may_ask_for_the_fastest_way_itself_and_in_another_thread(way):
    def asks():
        found = []
        ways = {"c": way(3.0), "d": way(1.0)}
        asking = Thread(target=lambda: found.append(fastest("inner", (1,), ways, CPU)), daemon=True)
        asking.start()
        asking.join(20)
        assert found == ["d"]

    assert fastest("outer", (1,), {"a": asks, "b": way(9.0)}, CPU) == "a"
    assert [each.operation for each in measured()] == ["inner", "outer"]
