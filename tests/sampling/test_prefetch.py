"""Prefetching keeps order and errors, works ahead, and stops when asked."""

import threading
import time

import pytest
import torch

from cigf.sampling import prefetch as module
from cigf.sampling.prefetch import ahead, prefetch


def threads():
    return [t for t in threading.enumerate() if t.name == "cigf-prefetch"]


def test_order_and_elements_are_kept():
    assert list(prefetch(iter(range(100)))) == list(range(100))
    assert not threads()


def test_an_empty_source_ends():
    assert list(prefetch(iter([]))) == []


def test_errors_are_raised_where_they_would_have_been():
    def source():
        yield 1
        raise ValueError("broken source")

    batches = prefetch(source())
    assert next(batches) == 1
    with pytest.raises(ValueError, match="broken source"):
        next(batches)
    assert not threads()


def test_it_works_ahead_but_not_further_than_told():
    produced = []

    def source():
        for number in range(50):
            produced.append(number)
            yield number

    batches = prefetch(source(), depth=3)
    next(batches)
    deadline = time.monotonic() + 5
    while len(produced) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert 2 <= len(produced) <= 6
    batches.close()


def test_closing_ends_the_thread():
    batches = prefetch(iter(range(10**9)))
    next(batches)
    assert threads()
    batches.close()
    assert not threads()


@pytest.mark.parametrize(
    ("cores", "device", "expected"), [(1, "cpu", False), (99, "cpu", True), (1, "cuda", True)]
)
def test_working_ahead_is_chosen_where_it_pays(monkeypatch, cores, device, expected):
    monkeypatch.setattr(module.os, "cpu_count", lambda: cores)
    batches = ahead((number for number in range(10**6)), torch.device(device))
    assert next(batches) == 0
    assert bool(threads()) == expected
    batches.close()
