"""From a checked log to a split: one function per kind of split."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cigf.data.behaviors import Behaviors
from cigf.data.cleaning import compact, keep_core
from cigf.data.dataset import Dataset
from cigf.data.event_log import Blocks, EventLog, by_user
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
from cigf.data.pairs import Pairs, pairs_of
from cigf.data.schema import Interactions
from cigf.data.scratch import Scratch
from cigf.data.soundness import check_dataset, check_test
from cigf.data.splitting import HeldOut, Split
from cigf.data.timecut import in_words, known_only, new_pairs, renumbered, time_of_cut, until
from cigf.errors import DataError
from cigf.seeding import numpy_generator


def partition(
    log: EventLog,
    options: PrepareOptions,
    test: Interactions | None,
    notes: Notes,
    scratch: Scratch,
) -> Split:
    """Clean, number and split; candidates are not drawn yet.

    Args:
        log: The events.
        options: How to clean and split.
        test: The test pairs, if they are given.
        notes: Where what is left out is counted.
        scratch: Where events wait if they are many.

    Raises:
        DataError: Nothing that can be learned from is left, or the test pairs do not fit.
    """
    kind = _kind(options, test)
    _check_options(options, log.behaviors)
    blocks = by_user(log, scratch)
    if kind == "time":
        return _split_by_time(log, blocks, options, notes)
    cleaned = _clean(_pairs(blocks, log), log, options, notes)
    dataset = _whole_dataset(cleaned, notes)
    parts = _Parts(dataset, options, test, notes)
    held_out, words = _KINDS[kind](parts)
    if kind != "none":
        check_test(held_out, dataset.behaviors, kind)
    return _with_validation(without_pairs(dataset, held_out), held_out, words, options, notes)


def _pairs(blocks: Blocks, log: EventLog) -> Pairs:
    return pairs_of(blocks(), len(log.behaviors), (len(log.users), len(log.items)))


def _kind(options: PrepareOptions, test: Interactions | None) -> str:
    kind = options.split or ("last" if test is None else "test_file")
    if kind == "test_file" and test is None:
        raise DataError(
            "split test_file: no test pairs were given; name their file with --test (cigf data "
            "prepare), or choose another --split"
        )
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
    """Pairs after the k-core, numbered so that every row has one."""

    pairs: Pairs
    users: IdMap
    items: IdMap
    behaviors: Behaviors

    def dataset(self, pairs: Pairs | None = None) -> Dataset:
        return (pairs or self.pairs).dataset(self.behaviors, self.users, self.items)


def _clean(pairs: Pairs, log: EventLog, options: PrepareOptions, notes: Notes) -> _Cleaned:
    minimum, name = options.min_interactions, options.min_behavior
    if minimum > 1 or name is not None:
        counted = None if name is None else log.behaviors.index(name)
        pairs, dropped = keep_core(pairs, minimum, counted)
        of_what = "pairs" if name is None else f"{name} pairs"
        notes.drop(f"users with fewer than {minimum} {of_what}", dropped.users)
        notes.drop(f"items with fewer than {minimum} {of_what}", dropped.items)
        notes.drop("events of such users and items", dropped.events)
    return _Cleaned(*compact(pairs, log.users, log.items), log.behaviors)


def _whole_dataset(cleaned: _Cleaned, notes: Notes) -> Dataset:
    dataset = cleaned.dataset()
    n_pairs = sum(matrix.nnz for matrix in dataset.interactions)
    repeated = cleaned.pairs.n_events - n_pairs
    notes.drop("repeated events (the last time is kept)", repeated)
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
        also = self.options.hold_out or ()
        return tuple(dict.fromkeys((*also, self.dataset.behaviors.target_name)))


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


def _split_by_time(log: EventLog, blocks: Blocks, options: PrepareOptions, notes: Notes) -> Split:
    """Cut twice: after the first cut lies the test, between the two the validation window."""
    target = log.behaviors.target
    cut = time_of_cut(blocks, target, options.test_share)
    cleaned = _clean(_pairs(until(blocks, cut), log), log, options, notes)
    known = _whole_dataset(cleaned, notes)
    numbered = renumbered(blocks, known.users.find(log.users.ids), known.items.find(log.items.ids))
    test, unknown = new_pairs(until(numbered, cut, after=True), known)
    notes.drop("later events of a user or item not in training", unknown)
    check_test(test, log.behaviors, "time")
    words = f"test: what is new after {in_words(cut)} (about {options.test_share:.0%})"
    past = known_only(until(numbered, cut))
    return _with_window(cleaned, past, known, test, words, options, notes)


def _with_window(
    cleaned: _Cleaned,
    past: Blocks,
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
        window = time_of_cut(past, known.behaviors.target, options.valid_share)
    except DataError as error:
        notes.warn(f"no validation pairs ({error})")
        return nothing
    shape = (known.n_users, known.n_items)
    before = pairs_of(until(past, window)(), len(known.behaviors), shape)
    train = cleaned.dataset(before)
    valid, _ = new_pairs(until(past, window, after=True), train)
    if not len(valid[known.behaviors.target_name]):
        notes.warn(
            f"no validation pairs: between {in_words(window)} and the test nothing new of known "
            f"users and items happens under {known.behaviors.target_name}; training cannot choose "
            "its best epoch"
        )
        return nothing
    withheld = difference(known.interactions, train.interactions)
    words += f"; validation: what is new between {in_words(window)} and that"
    return Split(train, withheld, valid, test, {}, words)
