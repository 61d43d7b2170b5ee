"""What may be wrong with a dataset: the findings of `cigf doctor`."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cigf.data.dataset import Dataset, contains, pair_keys
from cigf.data.splitting import HeldOut, Part, Split

Ints = NDArray[np.int64]
Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")

PLAUSIBLE_SINCE = 631_152_000_000
"""1990 in milliseconds: an earlier time is most likely a broken one, or seconds read as ms."""
MOSTLY_TOUCHED = 0.5
"""Above this share of touched test pairs, figures over all pairs say little about discovery."""


@dataclass(frozen=True)
class Finding:
    """One thing a user should know.

    Args:
        severity: error (results would be wrong), warning (they may mislead) or info.
        code: A short stable name, for scripts.
        message: What was found, with numbers.
        advice: What to do about it; empty if nothing.
    """

    severity: Severity
    code: str
    message: str
    advice: str = ""

    def to_json(self) -> dict[str, str]:
        """Return the finding as plain values."""
        return asdict(self)


def _error(code: str, message: str, advice: str = "") -> Finding:
    return Finding("error", code, message, advice)


def _warning(code: str, message: str, advice: str = "") -> Finding:
    return Finding("warning", code, message, advice)


def _info(code: str, message: str, advice: str = "") -> Finding:
    return Finding("info", code, message, advice)


def check_split(split: Split, *, now: int | None = None) -> list[Finding]:
    """Look for leaks, duplicates, empty rows and odd times.

    Args:
        split: The dataset to check.
        now: Milliseconds since 1970 UTC; later times count as in the future. None: not checked.

    Returns:
        All findings, errors first, then warnings, then infos.
    """
    findings = [*_sizes(split), *_matrices(split.train), *_times(split.train, now)]
    parts: tuple[Part, ...] = ("valid", "test")
    for part in parts:
        held_out = split.valid if part == "valid" else split.test
        history = split.history(part)
        for name, pairs in held_out.items():
            if len(pairs):
                findings += _held_out(part, name, pairs, history)
                findings += _candidates(split, part, name, pairs, history)
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def _sizes(split: Split) -> Iterator[Finding]:
    train = split.train
    pairs = ", ".join(
        f"{name} {m.nnz:,}" for name, m in zip(train.behaviors, train.interactions, strict=True)
    )
    yield _info("sizes", f"{train.n_users:,} users, {train.n_items:,} items; pairs: {pairs}")
    if not sum(map(len, split.test.values())):
        yield _warning(
            "no-test",
            "there are no test pairs, so nothing can be evaluated",
            "prepare the data with --test FILE or another --split",
        )
    elif not len(split.valid.get(train.behaviors.target_name, ())):
        yield _warning(
            "no-valid",
            f"there are no validation pairs of {train.behaviors.target_name}, so no best epoch can "
            "be chosen",
            "prepare the data with a larger validation share, or train a fixed number of epochs",
        )


def _matrices(train: Dataset) -> Iterator[Finding]:
    per_user, per_item = np.zeros(train.n_users, np.int64), np.zeros(train.n_items, np.int64)
    for name, matrix in zip(train.behaviors, train.interactions, strict=True):
        keys = pair_keys(matrix)
        repeated = int((np.diff(np.sort(keys)) == 0).sum())
        if repeated:
            yield _error(
                "duplicates",
                f"{name}: {repeated:,} pairs stand more than once",
                "prepare the data again",
            )
        if not matrix.nnz:
            yield _warning(
                "empty-behavior",
                f"{name}: no pair at all",
                "leave the behavior out, or check how the log names it (--map)",
            )
        per_user += np.diff(matrix.indptr)
        per_item += np.bincount(matrix.indices, minlength=train.n_items)
    yield from _empty("users", per_user)
    yield from _empty("items", per_item)
    without_target = int((np.diff(train.target.indptr) == 0).sum())
    if without_target:
        yield _info(
            "no-target",
            f"{without_target:,} of {train.n_users:,} users have no {train.behaviors.target_name} "
            "in training; only their other behaviors speak for them",
        )


def _empty(entity: str, counts: Ints) -> Iterator[Finding]:
    empty = int((counts == 0).sum())
    if empty:
        yield _warning(
            f"empty-{entity}",
            f"{empty:,} of {len(counts):,} {entity} have no training pair of any behavior",
            f"nothing can be learned about these {entity}; leave them out with --min-interactions",
        )


def _times(train: Dataset, now: int | None) -> Iterator[Finding]:
    timed = [name for name, t in zip(train.behaviors, train.times, strict=True) if t is not None]
    if not timed:
        yield _info("no-times", "the log has no times; held-out pairs cannot follow time")
        return
    if len(timed) < len(train.behaviors):
        missing = ", ".join(name for name in train.behaviors if name not in timed)
        yield _warning(
            "some-times",
            f"no times for {missing}, but for {', '.join(timed)}",
            "an order of events across behaviors is not known",
        )
    times = np.concatenate([t for t in train.times if t is not None] or [np.empty(0, np.int64)])
    yield from _odd_times(times, now)


def _odd_times(times: Ints, now: int | None) -> Iterator[Finding]:
    found = [
        ("negative-times", times < 0, "before 1970 (negative)"),
        ("zero-times", times == 0, "exactly 0"),
        ("early-times", (times > 0) & (times < PLAUSIBLE_SINCE), "before 1990"),
    ]
    if now is not None:
        found.append(("future-times", times > now, "in the future"))
    for code, wrong, words in found:
        if wrong.any():
            yield _warning(
                code,
                f"{int(wrong.sum()):,} of {len(times):,} times are {words}",
                "correct the log's times or their unit: they decide what is held out",
            )
    if len(times) > 1 and times.min() == times.max():
        yield _warning(
            "same-times",
            f"all {len(times):,} times are the same",
            "last pairs are arbitrary; prepare the data with --split random",
        )


def _held_out(part: Part, name: str, pairs: HeldOut, history: Dataset) -> Iterator[Finding]:
    behavior = history.behaviors.index(name)
    keys = pairs.users * history.n_items + pairs.items
    repeated = len(keys) - len(np.unique(keys))
    if repeated:
        yield _error(
            "duplicate-held-out",
            f"{part} {name}: {repeated:,} pairs stand more than once",
            "give each pair once",
        )
    leaked = int(contains(pair_keys(history.interactions[behavior]), keys).sum())
    if leaked:
        yield _error(
            "leak",
            f"{part} {name}: {leaked:,} of {len(keys):,} pairs are in training as {name}",
            "take them out of training: a model has seen the answers",
        )
    yield from _strangers(part, name, pairs, history)
    yield _touched(part, name, keys, history, behavior)


def _strangers(part: Part, name: str, pairs: HeldOut, history: Dataset) -> Iterator[Finding]:
    per_user, per_item = np.zeros(history.n_users, bool), np.zeros(history.n_items, bool)
    for matrix in history.interactions:
        per_user |= np.diff(matrix.indptr) > 0
        per_item |= np.bincount(matrix.indices, minlength=history.n_items) > 0
    for entity, rows, known in [("users", pairs.users, per_user), ("items", pairs.items, per_item)]:
        unknown = int((~known[rows]).sum())
        if unknown:
            yield _warning(
                f"unknown-{entity}",
                f"{part} {name}: {unknown:,} pairs have {entity} without any training pair",
                "no model can rank these well; add their events, or leave the pairs out",
            )


def _touched(part: Part, name: str, keys: Ints, history: Dataset, behavior: int) -> Finding:
    touched = int(contains(pair_keys(history.touched(behavior)), keys).sum())
    share = touched / len(keys)
    message = (
        f"{part} {name}: {touched:,} of {len(keys):,} pairs ({share:.1%}) are touched: the user "
        "has another behavior with the item in training"
    )
    if share <= MOSTLY_TOUCHED:
        return _info("touched", message)
    return _warning(
        "touched",
        message,
        "figures over all pairs mostly measure bringing users back to what they know; "
        "read the figures for touched and new pairs apart, beside the touched-first rule",
    )


def _candidates(
    split: Split, part: Part, name: str, pairs: HeldOut, history: Dataset
) -> Iterator[Finding]:
    own = pair_keys(history.interactions[history.behaviors.index(name)])
    for (kept_part, kept_name, seed), candidates in split.candidates.items():
        if (kept_part, kept_name) != (part, name):
            continue
        drawn = candidates.all.astype(np.int64)
        is_answer = int((drawn == pairs.items[:, None]).any(axis=1).sum())
        known = contains(own, (pairs.users[:, None] * history.n_items + drawn)[drawn >= 0])
        if is_answer or known.any():
            yield _error(
                "candidates",
                f"{part} {name}: of the candidates of seed {seed}, {is_answer:,} rows hold the "
                f"held-out item itself and {int(known.sum()):,} items are in the user's history",
                "prepare the data again",
            )
