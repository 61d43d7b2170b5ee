import numpy as np
import polars as pl
import pytest
from preparing_toys import NAMES, frame, held, log, pairs_of, split_of

from cigf.data.appending import (
    append_events,
    count_new,
    everything,
    first_items,
    hold_out_new,
)
from cigf.data.options import ReadOptions
from cigf.data.readers import read_events
from cigf.errors import DataError

OLD = log()
LATER = [
    (0, "i01", "view", 90_000),
    (0, "i01", "buy", 90_001),
    (0, "i12", "buy", 90_005),
    (0, "new", "buy", 90_009),
    (3, "i02", "cart", 90_002),
    (77, "i05", "buy", 90_003),
    (77, "i05", "view", 90_004),
    (78, "i06", "buy", 90_006),
    (5, "new", "view", 90_007),
]


def append(later=LATER, old=OLD, **options):
    split, _ = split_of(old)
    known = everything(split)
    events = read_events(frame(later), ReadOptions(**options))
    return split, known, append_events(known, events)


def pairs(data, matrix):
    users, items = matrix.nonzero()
    return set(zip(data.users.external(users), data.items.external(items), strict=True))


def test_all_pairs_are_there_and_old_rows_are_what_they_were():
    split, known, appended = append()
    for behavior, name in enumerate(NAMES):
        expected = {(u, i) for u, i, b, _ in [*OLD, *LATER] if b == name}
        assert pairs(appended.known, appended.known.interactions[behavior]) == expected
    assert appended.known.users.ids.to_list() == [*known.users.ids.to_list(), 77, 78]
    assert appended.known.items.ids.to_list() == [*known.items.ids.to_list(), "new"]
    assert (appended.n_new_users, appended.n_new_items, appended.n_events) == (2, 1, 9)
    assert known.users == split.train.users


def test_held_out_pairs_are_known_again():
    split, known, _ = append()
    assert held(split, split.test["buy"]) <= pairs(known, known.target)
    assert pairs_of(split, split.train.target) < pairs(known, known.target)


@pytest.mark.parametrize(("options", "expected"), [({}, False), ({"split": "none"}, True)])
def test_times_are_kept_where_all_are_known(options, expected):
    split, _ = split_of(OLD, valid_share=0, **options)
    appended = append_events(everything(split), read_events(frame(LATER), ReadOptions()))
    known = appended.known
    assert [times is not None for times in known.times] == [expected] * 3
    if not expected:
        return
    for behavior, name in enumerate(NAMES):
        last = {(u, i): 1000 * t for u, i, b, t in [*OLD, *LATER] if b == name}  # seconds
        users, items = known.interactions[behavior].nonzero()
        ids = zip(known.users.external(users), known.items.external(items), strict=True)
        assert [last[pair] for pair in ids] == known.times[behavior].tolist()


def test_new_pairs_are_counted_once():
    _, known, appended = append([*LATER, *LATER])
    old = [{(u, i) for u, i, b, _ in OLD if b == name} for name in NAMES]
    new = [{(u, i) for u, i, b, _ in LATER if b == name} for name in NAMES]
    expected = {name: len(b - a) for name, a, b in zip(NAMES, old, new, strict=True)}
    assert dict(count_new(appended, known)) == expected


def test_the_last_new_target_pair_of_a_known_item_is_held_out():
    """Of user 78 nothing else is known; user 0 bought a new item later, which nobody can rank."""
    _, known, appended = append()
    generator = np.random.default_rng(0)
    found = hold_out_new(appended, known, generator)
    ids = (appended.known.users.external(found.users), appended.known.items.external(found.items))
    assert list(zip(*ids, strict=True)) == [(0, "i12"), (77, "i05")]


def test_without_times_a_random_new_pair_is_held_out():
    later = [(0, f"i{n:02}", "buy", 0) for n in range(13)]
    _, known, appended = append(later, time_col="")
    old = {i for u, i, b, _ in OLD if (u, b) == (0, "buy")}
    seen = set()
    for seed in range(20):
        found = hold_out_new(appended, known, np.random.default_rng(seed))
        assert found.users.tolist() == [0]
        seen.add(appended.known.items.external(found.items)[0])
    assert len(seen) > 3
    assert not seen & old


def test_the_data_of_the_first_items():
    _, known, _ = append()
    few = first_items(known, 4)
    for behavior in range(3):
        dense = known.interactions[behavior].toarray()[:, :4]
        np.testing.assert_array_equal(few.interactions[behavior].toarray(), dense)
    assert few.items.ids.to_list() == known.items.ids.head(4).to_list()


def test_numbers_that_were_read_as_text_are_the_same_ids():
    """A log whose ids are numbers meets events whose ids were written as text."""
    split, _ = split_of([(u, int(i[1:]), b, t) for u, i, b, t in OLD])
    known = everything(split)
    later = pl.DataFrame({"user_id": ["0"], "item_id": ["01"], "behavior": ["view"]})
    later = pl.concat([later, later.with_columns(user_id=pl.lit("901"), item_id=pl.lit("1"))])
    appended = append_events(known, read_events(later, ReadOptions()))
    assert appended.known.users.ids.to_list() == [*range(11), 901]
    assert appended.n_new_items == 0


@pytest.mark.parametrize(
    ("later", "message"),
    [
        ([OLD[0], OLD[7]], "nothing new: the run's data hold the pairs of all 2 events already"),
        *(
            (
                [(user, "i01", "view", 1)],
                f"user id '{user}' is text, and the run's user ids are whole numbers",
            )
            for user in ("x", "0901")
        ),
    ],
)
def test_events_that_cannot_be_appended(later, message):
    with pytest.raises(DataError, match=message):
        append(later)
