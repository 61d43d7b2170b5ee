"""From checked interactions to a split: one function per kind of split."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cigf.data.behaviors import Behaviors
from cigf.data.cleaning import compact, keep_core
from cigf.data.dataset import Dataset
from cigf.data.events import CodedEvents, build_dataset, code_events
from cigf.data.given_test import given_held_out
from cigf.data.holdouts import (
    as_matrices,
    difference,
    hold_out_last,
    hold_out_random,
    hold_out_validation,
    without_pairs,
)
from cigf.data.ids import IdMap
from cigf.data.notes import Notes
from cigf.data.options import PrepareOptions
from cigf.data.schema import Interactions
from cigf.data.soundness import check_dataset, check_test
from cigf.data.splitting import HeldOut, Split
from cigf.data.timecut import cut_by_time, in_words, new_pairs
from cigf.errors import DataError
from cigf.seeding import numpy_generator


def partition(
    interactions: Interactions, options: PrepareOptions, test: Interactions | None, notes: Notes
) -> Split:
    """Clean, number and split; candidates are not drawn yet.

    Raises:
        DataError: Nothing that can be learned from is left, or the test pairs do not fit.
    """
    kind = _kind(options, test)
    _check_options(options, interactions.behaviors)
    if kind == "time":
        return _split_by_time(interactions, options, notes)
    events, *ids = code_events(interactions)
    cleaned = _clean(events, (ids[0], ids[1]), interactions.behaviors, options, notes)
    dataset = _whole_dataset(cleaned, notes)
    parts = _Parts(dataset, options, test, notes)
    held_out, words = _KINDS[kind](parts)
    if kind != "none":
        check_test(held_out, dataset.behaviors, kind)
    return _with_validation(without_pairs(dataset, held_out), held_out, words, options, notes)


def _kind(options: PrepareOptions, test: Interactions | None) -> str:
    kind = options.split or ("last" if test is None else "test_file")
    if kind == "test_file" and test is None:
        raise DataError("split test_file: no test pairs were given; name their file with --test")
    if kind != "test_file" and test is not None:
        raise DataError(
            f"split {kind}: test pairs were given too; leave out --test, or pass --split test_file"
        )
    return kind


def _check_options(options: PrepareOptions, behaviors: Behaviors) -> None:
    for name in (*(options.hold_out or ()), *filter(None, [options.min_behavior])):
        behaviors.index(name)


@dataclass(frozen=True, eq=False)
class _Cleaned:
    """Events after the k-core, numbered so that every row has an event."""

    events: CodedEvents
    users: IdMap
    items: IdMap
    behaviors: Behaviors

    def dataset(self, keep: NDArray[np.bool_] | None = None) -> Dataset:
        events = self.events if keep is None else self.events.where(keep)
        return build_dataset(events, self.behaviors, self.users, self.items)


def _clean(
    events: CodedEvents,
    ids: tuple[IdMap, IdMap],
    behaviors: Behaviors,
    options: PrepareOptions,
    notes: Notes,
) -> _Cleaned:
    minimum = options.min_interactions
    if minimum > 1:
        counted = None if options.min_behavior is None else behaviors.index(options.min_behavior)
        events, dropped = keep_core(events, minimum, counted)
        notes.drop(f"users with fewer than {minimum} pairs", dropped.users)
        notes.drop(f"items with fewer than {minimum} pairs", dropped.items)
        notes.drop("events of such users and items", dropped.events)
    return _Cleaned(*compact(events, *ids), behaviors)


def _whole_dataset(cleaned: _Cleaned, notes: Notes) -> Dataset:
    dataset = cleaned.dataset()
    n_pairs = sum(matrix.nnz for matrix in dataset.interactions)
    notes.drop("repeated events (the last time is kept)", len(cleaned.events) - n_pairs)
    check_dataset(dataset, notes)
    return dataset


@dataclass(frozen=True)
class _Parts:
    """What the kinds of split choose from."""

    dataset: Dataset
    options: PrepareOptions
    test: Interactions | None
    notes: Notes

    def generator(self, purpose: str) -> np.random.Generator:
        return numpy_generator(self.options.seed, f"split/{purpose}")

    def hold_out(self) -> tuple[str, ...]:
        return self.options.hold_out or (self.dataset.behaviors.target_name,)


def _given(parts: _Parts) -> tuple[dict[str, HeldOut], str]:
    assert parts.test is not None
    skip = parts.options.on_error == "skip"
    held_out = given_held_out(parts.test, parts.dataset, skip, parts.notes)
    return held_out, "test: the given pairs"


def _last(parts: _Parts) -> tuple[dict[str, HeldOut], str]:
    behaviors = parts.dataset.behaviors
    held_out = {
        name: hold_out_last(parts.dataset, behaviors.index(name), parts.generator(f"last/{name}"))
        for name in parts.hold_out()
    }
    times = parts.dataset.times[behaviors.target]
    kind = "the last pair" if times is not None else "one random pair (the log has no times)"
    return held_out, f"test: {kind} of each user with at least two"


def _random(parts: _Parts) -> tuple[dict[str, HeldOut], str]:
    behaviors, share = parts.dataset.behaviors, parts.options.test_share
    held_out = {
        name: hold_out_random(
            parts.dataset, behaviors.index(name), share, parts.generator(f"random/{name}")
        )
        for name in parts.hold_out()
    }
    return held_out, f"test: a random {share:.0%} of the pairs, one pair per user at least stays"


def _none(parts: _Parts) -> tuple[dict[str, HeldOut], str]:
    return {}, "test: none"


_KINDS: dict[str, Callable[[_Parts], tuple[dict[str, HeldOut], str]]] = {
    "test_file": _given,
    "last": _last,
    "random": _random,
    "none": _none,
}


def _with_validation(
    known: Dataset, test: dict[str, HeldOut], words: str, options: PrepareOptions, notes: Notes
) -> Split:
    generator = numpy_generator(options.seed, "split/validation")
    pairs = hold_out_validation(known, options.valid_share, generator)
    valid = {known.behaviors.target_name: pairs} if len(pairs) else {}
    if options.valid_share and not valid:
        notes.warn(
            "no validation pairs: too few users have three target pairs in training; training "
            "cannot choose its best epoch"
        )
        return Split(known, as_matrices(known, {}), {}, test, {}, f"{words}; validation: none")
    kind = "one random" if known.times[known.behaviors.target] is None else "the last"
    words += (
        f"; validation: {kind} target pair of a random {options.valid_share:.0%} of the users "
        "with at least three in training"
    )
    return Split(without_pairs(known, valid), as_matrices(known, valid), valid, test, {}, words)


def _split_by_time(interactions: Interactions, options: PrepareOptions, notes: Notes) -> Split:
    """Cut twice: after the first cut lies the test, between the two the validation window."""
    events, users, items = code_events(interactions)
    behaviors = interactions.behaviors
    cut = cut_by_time(events, behaviors.target, options.test_share)
    cleaned = _clean(cut.past, (users, items), behaviors, options, notes)
    known = _whole_dataset(cleaned, notes)
    test, unknown = new_pairs(_renumbered(cut.future, users, items, known), known)
    notes.drop("later events of a user or item not in training", unknown)
    check_test(test, behaviors, "time")
    words = f"test: what is new after {in_words(cut.time)} (about {options.test_share:.0%})"
    return _with_window(cleaned, known, test, words, options, notes)


def _renumbered(events: CodedEvents, users: IdMap, items: IdMap, known: Dataset) -> CodedEvents:
    """Return events in the rows of another dataset; UNKNOWN (-1) where it lacks the id."""
    user_rows, item_rows = known.users.find(users.ids), known.items.find(items.ids)
    return CodedEvents(
        user_rows[events.users], item_rows[events.items], events.behaviors, events.times
    )


def _with_window(
    cleaned: _Cleaned,
    known: Dataset,
    test: dict[str, HeldOut],
    words: str,
    options: PrepareOptions,
    notes: Notes,
) -> Split:
    """Take the validation window out of what is known at test time."""
    nothing = Split(known, as_matrices(known, {}), {}, test, {}, f"{words}; validation: none")
    if not options.valid_share:
        return nothing
    try:
        window = cut_by_time(cleaned.events, known.behaviors.target, options.valid_share)
    except DataError as error:
        notes.warn(f"no validation pairs ({error})")
        return nothing
    assert cleaned.events.times is not None
    train = cleaned.dataset(cleaned.events.times <= window.time)
    valid, _ = new_pairs(window.future, train)
    withheld = difference(known.interactions, train.interactions)
    words += f"; validation: what is new between {in_words(window.time)} and that"
    return Split(train, withheld, valid, test, {}, words)
