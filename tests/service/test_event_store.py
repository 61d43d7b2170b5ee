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


def test_what_was_handed_out_does_not_change():
    events = store(9, ("u", "a", "view"))
    before = events.of("u")
    events.add(Event("u", "b", "view", 0))
    assert before == {"view": ("a",)}
