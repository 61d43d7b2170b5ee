from cigf.service.event_log import Event
from cigf.service.event_store import EventStore


def store(capacity, *pairs):
    found = EventStore(capacity)
    for user, item, behavior in pairs:
        found.add(Event(user, item, behavior, 0))
    return found


def test_events_by_user_and_behavior_each_once():
    events = store(9, ("u", "a", "view"), ("u", "b", "view"), ("v", "a", "buy"), ("u", "a", "view"))
    assert events.of("u") == {"view": ("a", "b")}
    assert events.of("v") == {"buy": ("a",)}
    assert events.of("w") == {}
    assert len(events) == 3


def test_who_was_silent_longest_is_forgotten_first():
    events = store(3, ("u", "a", "view"), ("v", "a", "view"), ("u", "b", "view"), ("w", "a", "buy"))
    assert events.of("v") == {}
    assert events.of("u") == {"view": ("a", "b")}
    assert len(events) == 3


def test_the_user_who_just_acted_is_never_forgotten():
    events = store(1, ("u", "a", "view"), ("u", "b", "view"))
    assert events.of("u") == {"view": ("a", "b")}


def test_of_a_single_user_the_oldest_events_are_forgotten():
    pairs = [("u", f"i{n}", ("view", "buy")[n % 2]) for n in range(100)]
    events = store(16, *pairs)
    kept = [item for items in events.of("u").values() for item in items]
    assert 16 <= len(events) == len(kept) <= 19
    assert sorted(kept) == sorted(f"i{n}" for n in range(100 - len(kept), 100))
    events.add(Event("v", "a", "view", 0))
    assert (len(events), events.of("u")) == (1, {})


def test_very_many_events_of_one_user_take_no_longer_than_others():
    events = store(20_000, *(("u", f"i{n}", "view") for n in range(200_000)))
    assert len(events) <= 22_501


def test_what_was_handed_out_stays_the_same_until_she_does_more():
    events = store(9, ("u", "a", "view"))
    before = events.of("u")
    events.add(Event("v", "b", "view", 0))
    events.add(Event("u", "a", "view", 0))
    assert events.of("u") is before
    events.add(Event("u", "b", "view", 0))
    assert events.of("u") is not before


def test_what_was_handed_out_does_does_not_change():
    events = store(9, ("u", "a", "view"))
    before = events.of("u")
    events.add(Event("u", "b", "view", 0))
    assert before == {"view": ("a",)}
