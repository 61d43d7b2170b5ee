"""Event log -> dataset folder: read, clean, number, split, draw candidates, save."""

from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cigf.data.candidates import candidate_generator, draw_candidates
from cigf.data.dataset_store import save_split
from cigf.data.event_log import EventLog
from cigf.data.notes import Notes
from cigf.data.options import PrepareOptions
from cigf.data.partition import partition
from cigf.data.readers import Source, read_log, read_test_pairs
from cigf.data.schema import Interactions
from cigf.data.scratch import Scratch
from cigf.data.splitting import Candidates, HeldOut, Part, Split
from cigf.storage import refuse_existing


@dataclass(frozen=True)
class PrepareReport:
    """What became of an event log.

    Args:
        n_events: Events that were read and used.
        n_users: Users of the dataset.
        n_items: Items of the dataset.
        n_pairs: Distinct pairs that are known at test time, per behavior.
        n_valid: Validation pairs, per behavior.
        n_test: Test pairs, per behavior.
        dropped: Events, pairs, users or items left out, by reason.
        warnings: What the user should know.
        split: How the split was made, in words.
        fingerprint: Of the training dataset.
    """

    n_events: int
    n_users: int
    n_items: int
    n_pairs: Mapping[str, int]
    n_valid: Mapping[str, int]
    n_test: Mapping[str, int]
    dropped: Mapping[str, int]
    warnings: tuple[str, ...]
    split: str
    fingerprint: str

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return asdict(self) | {"warnings": list(self.warnings)}


def prepare(
    sources: Source | list[Source],
    out: Path,
    options: PrepareOptions,
    test: Source | list[Source] | None = None,
) -> PrepareReport:
    """Read an event log and write it as a dataset folder.

    Args:
        sources: As for `read_events`.
        out: The folder to write.
        options: How to read, clean and split.
        test: Source of the test pairs, if they are given.

    Raises:
        DataError: The log cannot be used as it is.
        OutputError: `out` exists and `options.force` is off, or it cannot be written.
    """
    refuse_existing(out, options.force)
    held_out = None if test is None else read_test_pairs(test, options)
    with closing(Scratch(_existing(out))) as scratch:
        log = read_log(sources, options, scratch)
        return _write(log, held_out, out, options)


def prepare_interactions(
    interactions: Interactions, test: Interactions | None, out: Path, options: PrepareOptions
) -> PrepareReport:
    """Write checked interactions as a dataset folder; see `prepare`."""
    refuse_existing(out, options.force)
    return _write(EventLog.of(interactions), test, out, options)


def _write(
    log: EventLog, test: Interactions | None, out: Path, options: PrepareOptions
) -> PrepareReport:
    split, report = split_log(log, options, test, _existing(out))
    save_split(split, out, force=options.force, extra={"report": report.to_json()})
    return report


def _existing(out: Path) -> Path:
    """Return the folder of `out`, or the nearest one above it that is there already."""
    return next(folder for folder in out.absolute().parents if folder.is_dir())


def build_split(
    interactions: Interactions, options: PrepareOptions, test: Interactions | None = None
) -> tuple[Split, PrepareReport]:
    """Clean, number and split checked interactions, and draw the candidates.

    Raises:
        DataError: Nothing is left, or the test pairs do not fit the log.
    """
    return split_log(EventLog.of(interactions), options, test)


def split_log(
    log: EventLog,
    options: PrepareOptions,
    test: Interactions | None = None,
    folder: Path | None = None,
) -> tuple[Split, PrepareReport]:
    """Clean, number and split a log, which may be larger than memory, and draw the candidates.

    Args:
        log: The events.
        options: How to clean and split.
        test: Test pairs, if they are given.
        folder: Where events wait on the disk if they are many; None: the system's folder for
            temporary files.

    Raises:
        DataError: Nothing is left, or the test pairs do not fit the log.
    """
    notes = Notes(Counter(log.dropped), list(log.warnings))
    if test is not None:
        for reason, count in test.dropped.items():
            notes.drop(f"test file: {reason}", count)
        notes.warnings.extend(f"test file: {warning}" for warning in test.warnings)
    with closing(Scratch(folder)) as scratch:
        split = partition(log, options, test, notes, scratch)
    split = replace(split, candidates=_draw_all(split, options))
    return split, _report(split, log.n_events, notes)


def _draw_all(split: Split, options: PrepareOptions) -> dict[tuple[Part, str, int], Candidates]:
    seed = options.candidate_seed
    drawn: dict[tuple[Part, str, int], Candidates] = {}
    parts: tuple[tuple[Part, Mapping[str, HeldOut]], ...] = (
        ("valid", split.valid),
        ("test", split.test),
    )
    for part, held_out in parts:
        history = split.history(part)
        for name, pairs in held_out.items():
            generator = candidate_generator(seed, part, name)
            index = history.behaviors.index(name)
            drawn[part, name, seed] = draw_candidates(
                history, pairs, index, options.n_candidates, generator
            )
    return drawn


def _report(split: Split, n_events: int, notes: Notes) -> PrepareReport:
    train = split.train
    pairs = zip(train.behaviors, train.interactions, split.withheld, strict=True)
    return PrepareReport(
        n_events=n_events,
        n_users=train.n_users,
        n_items=train.n_items,
        n_pairs={name: int(seen.nnz + kept.nnz) for name, seen, kept in pairs},
        n_valid={name: len(pairs) for name, pairs in split.valid.items()},
        n_test={name: len(pairs) for name, pairs in split.test.items()},
        dropped=dict(notes.dropped),
        warnings=tuple(notes.warnings),
        split=split.description,
        fingerprint=train.fingerprint,
    )
