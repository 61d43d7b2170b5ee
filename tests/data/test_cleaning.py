from collections import Counter

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from cigf.data.cleaning import Dropped, compact, keep_core
from cigf.data.events import CodedEvents
from cigf.data.ids import IdMap
from cigf.data.pairs import Pairs, pairs_of

Triples = list[tuple[int, int, int]]


def pairs(triples: Triples, shape: tuple[int, int] = (7, 5)) -> Pairs:
    columns = np.array(triples, dtype=np.int64).reshape(-1, 3).T
    events = CodedEvents(columns[0], columns[1], columns[2].astype(np.uint8), None)
    return pairs_of(iter([events]), 2, shape)


def triples_of(found: Pairs) -> Counter[tuple[int, int, int]]:
    return Counter(
        {
            (int(user), int(item), behavior): int(count)
            for behavior, (each, users, items) in enumerate(found.users_and_items())
            for user, item, count in zip(users, items, each.counts, strict=True)
        }
    )


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
    kept, dropped = keep_core(pairs(events), minimum, behavior)
    expected = core_slowly(events, minimum, behavior)
    assert triples_of(kept) == Counter(expected)
    assert dropped == Dropped(
        len({u for u, _, _ in events}) - len({u for u, _, _ in expected}),
        len({i for _, i, _ in events}) - len({i for _, i, _ in expected}),
        len(events) - len(expected),
    )


def test_repeated_pairs_count_once() -> None:
    kept, _ = keep_core(pairs([(0, 0, 0), (0, 0, 1), (1, 1, 0)]), 2)
    assert kept.n_events == 0


def test_compact_rows_keep_the_order_of_the_ids() -> None:
    users, items = IdMap(pl.Series(["a", "b", "c"]), "user"), IdMap(pl.Series([5, 7]), "item")
    found, users, items = compact(pairs([(2, 0, 0), (0, 1, 1)], (3, 2)), users, items)
    assert users.ids.to_list() == ["a", "c"]
    assert items.ids.to_list() == [5, 7]
    assert found.shape == (2, 2)
    assert triples_of(found) == Counter([(1, 0, 0), (0, 1, 1)])


def test_nothing_to_compact_changes_nothing() -> None:
    users, items = IdMap(pl.Series([1]), "user"), IdMap(pl.Series([5]), "item")
    found = pairs([(0, 0, 0)], (1, 1))
    assert compact(found, users, items) == (found, users, items)
