"""Published data sets in their own formats -> a dataset folder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cigf.data.adjacency import list_adjacency, read_adjacency
from cigf.data.aliases import translate_behavior
from cigf.data.atomic_files import find_inter_file, read_inter
from cigf.data.behaviors import Behaviors
from cigf.data.notes import Notes
from cigf.data.options import PrepareOptions
from cigf.data.prepare import PrepareReport, prepare_interactions
from cigf.data.ratings import DEFAULT_RATINGS, parse_ratings
from cigf.data.readers import read_events
from cigf.data.releases import list_matrices, read_release
from cigf.data.schema import BEHAVIOR, ITEM, TIME, USER, Interactions, behavior_type
from cigf.errors import DataError, did_you_mean
from cigf.storage import refuse_existing

Ints = NDArray[np.int64]
Imported = tuple[Interactions, Interactions | None]
"""Training events, and the held-out pairs where the release has some."""

FUNNEL = ("view", "fav", "cart", "buy")
"""Order of the behaviors that are known by name (or by an alias, such as pv)."""
BOUGHT = FUNNEL[-1]
"""What the published pairs are held out of, and so the name of GHCF's train.txt."""


class ImportOptions(PrepareOptions):
    """How a published data set is made into a dataset."""

    behaviors: tuple[str, ...] = ()
    """Behaviors to use, in funnel order, the target last; none: all that the files hold, in the
    order view, fav, cart, buy."""
    ratings: str = DEFAULT_RATINGS
    """What the ratings mean in a log of ratings: name:lowest-highest, the target last."""


def import_release(
    release_format: str, path: Path, out: Path, options: ImportOptions | None = None
) -> PrepareReport:
    """Read published data in one of the known formats and write it as a dataset folder.

    Args:
        release_format: A key of `FORMATS`.
        path: The folder (mbgmn, ghcf) or file (recbole) to read.
        out: The dataset folder to write.
        options: Behaviors, cleaning, split.

    Raises:
        DataError: The format is unknown, or the files are not what they should be.
        OutputError: `out` exists, or cannot be written.
    """
    options = options or ImportOptions()
    if release_format not in FORMATS:
        hint = did_you_mean(release_format, FORMATS)
        raise DataError(f"format {release_format!r} is not known{hint} ({', '.join(FORMATS)})")
    refuse_existing(out, options.force)
    interactions, test = FORMATS[release_format](path, options)
    names = interactions.behaviors.names
    resolved = options.model_copy(update={"behaviors": names, "target": None})
    return prepare_interactions(interactions, test, out, resolved)


def read_mbgmn(folder: Path, options: ImportOptions) -> Imported:
    """Read pickled matrices: `trn_<behavior>` and `tst_int`."""
    files = list_matrices(folder)
    chosen, left_out = _choose(folder, list(files), options)
    release = read_release(folder, {name: files[name] for name in chosen})
    behaviors = Behaviors(tuple(chosen.values()))
    matrices = release.matrices.values()
    timed = all(matrix.times is not None for matrix in matrices)
    times = [m.times for m in matrices if m.times is not None] if timed else None
    pairs = [(matrix.users, matrix.items) for matrix in matrices]
    interactions = _with_warning(_interactions(pairs, times, behaviors), left_out)
    if release.test_users is None or release.test_items is None:
        return interactions, None
    held_out_of = _held_out_of(folder, list(files), chosen, options)
    held_out = release.test_users, release.test_items
    return _with_test(folder, interactions, held_out, held_out_of, chosen, options)


def read_ghcf(folder: Path, options: ImportOptions) -> Imported:
    """Read adjacency lists: train.txt and test.txt of one behavior, and one file per other one."""
    files = list_adjacency(folder)
    train, test = files.pop("train"), files.pop("test", None)
    held_out_of = _name_of_train(list(files), options)
    files[held_out_of] = train
    chosen, left_out = _choose(folder, list(files), options)
    behaviors = Behaviors(tuple(chosen.values()))
    pairs = [read_adjacency(files[name]) for name in chosen]
    interactions = _with_warning(_interactions(pairs, None, behaviors), left_out)
    if test is None:
        return interactions, None
    held_out = read_adjacency(test)
    return _with_test(folder, interactions, held_out, held_out_of, chosen, options)


def read_recbole(path: Path, options: ImportOptions) -> Imported:
    """Read a RecBole .inter file, with behaviors or with ratings that stand for them."""
    path = find_inter_file(path)
    ranges = parse_ratings(options.ratings)
    notes = Notes()
    log = read_inter(path, ranges, skip=options.on_error == "skip", notes=notes)
    frame, names, left_out = log.frame, [one.behavior for one in ranges], []
    if not log.rated:
        names = frame[log.behavior_column].drop_nulls().unique().sort().to_list()
        names = names if options.behaviors else _funnel_order(path, names)
    elif options.behaviors:
        meant = {n: translate_behavior(n, options.behaviors, options.mapping) for n in names}
        _refuse_unknown(path, options.behaviors, [*names, *(m for m in meant.values() if m)])
        left_out = [name for name, meaning in meant.items() if not meaning]
        asked_for = ~frame[log.behavior_column].is_in(left_out)
        notes.drop("ratings of behaviors not asked for", int((~asked_for).sum()))
        frame = frame.filter(asked_for)
    update = {"behaviors": options.behaviors or tuple(names)}
    interactions = read_events(frame, options.model_copy(update=update))
    dropped = {**interactions.dropped, **notes.dropped}
    return _with_warning(replace(interactions, dropped=dropped), left_out), None


FORMATS: Mapping[str, Callable[[Path, ImportOptions], Imported]] = {
    "mbgmn": read_mbgmn,
    "ghcf": read_ghcf,
    "recbole": read_recbole,
}
"""Format name -> its reader."""


def _choose(
    folder: Path, found: Sequence[str], options: ImportOptions
) -> tuple[dict[str, str], list[str]]:
    """Match the files' behaviors with those that were asked for.

    Returns:
        File's behavior -> dataset's behavior, in funnel order; and the file's ones left out.
    """
    if not options.behaviors:
        order = _funnel_order(folder, found)
        ordered = options.model_copy(update={"behaviors": tuple(order)}).ordered_behaviors()
        return {name: name for name in ordered}, []
    wanted = options.ordered_behaviors()
    meant = {name: translate_behavior(name, wanted.names, options.mapping) for name in found}
    _refuse_unknown(folder, wanted.names, [*found, *(m for m in meant.values() if m)])
    chosen = {found: name for name in wanted for found, m in meant.items() if m == name}
    if len(chosen) > len(wanted):
        raise DataError(f"{folder}: several files for one behavior: {', '.join(chosen)}")
    return chosen, [name for name in found if name not in chosen]


def _funnel_order(folder: Path, found: Sequence[str]) -> list[str]:
    places = {name: translate_behavior(name, FUNNEL, {}) for name in found}
    unknown = [name for name, place in places.items() if place is None]
    if unknown:
        raise DataError(
            f"{folder}: the place of {', '.join(unknown)} in the funnel is not known; give the "
            f"order, the target last, with --behaviors (files are for: {', '.join(found)})"
        )
    return sorted(found, key=lambda name: FUNNEL.index(str(places[name])))


def _refuse_unknown(path: Path, wanted: Sequence[str], known: Sequence[str]) -> None:
    for name in wanted:
        if name not in known:
            hint = did_you_mean(name, known)
            raise DataError(
                f"{path}: nothing for behavior {name!r}{hint} (it holds: "
                f"{', '.join(dict.fromkeys(known))})"
            )


def _held_out_of(
    folder: Path, found: Sequence[str], chosen: Mapping[str, str], options: ImportOptions
) -> str:
    """Return the file's behavior that MB-GMN's held-out pairs are of: purchases, or the deepest.

    How deep a behavior is that no funnel knows, only the order says in which it was asked for.
    """
    bought = [name for name in found if translate_behavior(name, FUNNEL, {}) == BOUGHT]
    if len(bought) == 1:
        return bought[0]
    if options.behaviors:
        named = {meaning: name for name, meaning in chosen.items()}
        return named.get(options.behaviors[-1], list(chosen)[-1])
    return _funnel_order(folder, found)[-1]


def _name_of_train(others: Sequence[str], options: ImportOptions) -> str:
    """Return the behavior of train.txt: purchases, or a target that no other file is of."""
    wanted = options.behaviors
    if not wanted or translate_behavior(BOUGHT, wanted, options.mapping):
        return BOUGHT
    target = options.ordered_behaviors().target_name
    taken = {translate_behavior(name, wanted, options.mapping) for name in others}
    return BOUGHT if target in taken else target


def _with_test(
    path: Path,
    interactions: Interactions,
    held_out: tuple[Ints, Ints],
    held_out_of: str,
    chosen: Mapping[str, str],
    options: ImportOptions,
) -> Imported:
    """Return the published held-out pairs as test pairs, or where others are chosen as events.

    Args:
        path: The release.
        interactions: Its training events.
        held_out: Users and items of its held-out pairs.
        held_out_of: The file's behavior that they are of.
        chosen: File's behavior -> dataset's behavior.
        options: The split and the target.

    Raises:
        DataError: The pairs are to be the test pairs, but are not of the target.
    """
    name, behaviors = chosen.get(held_out_of), interactions.behaviors
    if options.split in (None, "test_file"):
        if name != behaviors.target_name:
            raise DataError(
                f"{path}: the published test pairs are of {name or held_out_of!r}, not of the "
                f"target {behaviors.target_name!r}; make {name or held_out_of} the target, or "
                "choose other test pairs with --split last, random or none"
            )
        return interactions, _pairs_of(name, held_out, behaviors)
    if name is None:
        return _leave_out(interactions, "of a behavior not asked for", len(held_out[0])), None
    if interactions.has_times:
        return _leave_out(interactions, "without times", len(held_out[0])), None
    events = pl.concat([interactions.events, _pairs_of(name, held_out, behaviors).events])
    text = (
        f"the {len(held_out[0]):,} published test pairs are events like all others, because "
        f"--split {options.split} was chosen"
    )
    warnings = (*interactions.warnings, text)
    return replace(interactions, events=events, warnings=warnings), None


def _leave_out(interactions: Interactions, which: str, count: int) -> Interactions:
    reason = f"published test pairs {which}"
    return replace(interactions, dropped={**interactions.dropped, reason: count})


def _interactions(
    pairs: Sequence[tuple[Ints, Ints]], times: Sequence[Ints] | None, behaviors: Behaviors
) -> Interactions:
    counts = [len(users) for users, _ in pairs]
    codes = np.repeat(np.arange(len(pairs), dtype=np.uint32), counts)
    columns = {
        USER: np.concatenate([users for users, _ in pairs]),
        ITEM: np.concatenate([items for _, items in pairs]),
    }
    if times is not None:
        columns[TIME] = np.concatenate(times)
    names = pl.Series(BEHAVIOR, behaviors.names, dtype=behavior_type(behaviors))
    return Interactions(pl.DataFrame(columns).with_columns(names.gather(codes)), behaviors)


def _pairs_of(name: str, pairs: tuple[Ints, Ints], behaviors: Behaviors) -> Interactions:
    nothing = np.empty(0, np.int64), np.empty(0, np.int64)
    of = [pairs if each == name else nothing for each in behaviors]
    return _interactions(of, None, behaviors)


def _with_warning(interactions: Interactions, left_out: Sequence[str]) -> Interactions:
    if not left_out:
        return interactions
    text = f"left out, as not among the behaviors asked for: {', '.join(left_out)}"
    return replace(interactions, warnings=(*interactions.warnings, text))
