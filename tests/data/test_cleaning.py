import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from cigf.data.cleaning import Dropped, compact, keep_core
from cigf.data.events import CodedEvents
from cigf.data.ids import IdMap

Triples = list[tuple[int, int, int]]


def coded(triples: Triples) -> CodedEvents:
    columns = np.array(triples, dtype=np.int64).reshape(-1, 3).T
    return CodedEvents(columns[0], columns[1], columns[2].astype(np.uint8), None)


def core_slowly(triples: Triples, minimum: int, behavior: int | None) -> Triples:
    """Leave out users and items with too few pairs, one round after the other."""
    while True:
        pairs = {(u, i) for u, i, b in triples if behavior in (None, b)}
        users = [u for u, _ in pairs]
        items = [i for _, i in pairs]
        kept = [t for t in triples if min(users.count(t[0]), items.count(t[1])) >= minimum]
        if kept == triples:
            return kept
        triples = kept


EVENTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4), st.integers(0, 1)), max_size=40)


@settings(max_examples=60, deadline=None)
@given(EVENTS, st.integers(1, 4), st.sampled_from([None, 0, 1]))
def test_the_core_equals_its_slow_twin(events: Triples, minimum: int, behavior: int | None) -> None:
    kept, dropped = keep_core(coded(events), minimum, behavior)
    expected = core_slowly(events, minimum, behavior)
    found = list(zip(kept.users, kept.items, kept.behaviors, strict=True))
    assert found == expected
    assert dropped == Dropped(
        len({u for u, _, _ in events}) - len({u for u, _, _ in expected}),
        len({i for _, i, _ in events}) - len({i for _, i, _ in expected}),
        len(events) - len(expected),
    )


def test_repeated_pairs_count_once() -> None:
    kept, _ = keep_core(coded([(0, 0, 0), (0, 0, 1), (1, 1, 0)]), 2)
    assert len(kept) == 0


def test_compact_rows_keep_the_order_of_the_ids() -> None:
    users, items = IdMap(pl.Series(["a", "b", "c"]), "user"), IdMap(pl.Series([5, 7]), "item")
    events, users, items = compact(coded([(2, 0, 0), (0, 1, 1)]), users, items)
    assert users.ids.to_list() == ["a", "c"]
    assert items.ids.to_list() == [5, 7]
    assert events.users.tolist() == [1, 0]
    assert events.items.tolist() == [0, 1]


def test_nothing_to_compact_changes_nothing() -> None:
    users, items = IdMap(pl.Series([1]), "user"), IdMap(pl.Series([5]), "item")
    events = coded([(0, 0, 0)])
    assert compact(events, users, items) == (events, users, items)
