import threading

import pytest

from cigf.data.side_by_side import N_THREADS, side_by_side


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_results_come_in_the_order_of_the_items(count: int) -> None:
    assert list(side_by_side(lambda n: n * n, range(count))) == [n * n for n in range(count)]


def test_few_items_are_fetched_ahead() -> None:
    fetched = []
    for result in side_by_side(lambda n: n, (fetched.append(n) or n for n in range(20))):
        assert len(fetched) <= result + N_THREADS + 1
    assert fetched == list(range(20))


def test_an_error_comes_out_and_leaves_no_thread() -> None:
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        list(side_by_side(lambda n: 1 // (3 - n), range(20)))
    assert threading.active_count() == before
