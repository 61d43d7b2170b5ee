"""Refusing data that nothing can be learned from, and remarks on what is odd but usable."""

from collections.abc import Mapping

import numpy as np

from cigf.data.behaviors import Behaviors
from cigf.data.dataset import Dataset
from cigf.data.notes import Notes
from cigf.data.splitting import HeldOut
from cigf.errors import DataError


def check_dataset(dataset: Dataset, notes: Notes) -> None:
    """Check that there is something to learn and to rank.

    Raises:
        DataError: A behavior has no events, or there are fewer than two users or items.
    """
    left_out = "; ".join(f"{reason}: {count:,}" for reason, count in notes.dropped.items())
    left_out = f" (left out: {left_out})" if left_out else ""
    for name, matrix in zip(dataset.behaviors, dataset.interactions, strict=True):
        if not matrix.nnz:
            found = [
                n for n, m in zip(dataset.behaviors, dataset.interactions, strict=True) if m.nnz
            ]
            raise DataError(
                f"behavior {name!r} has no events{left_out}; those with events are "
                f"{', '.join(found) or 'none'}; leave it out of --behaviors, or map a value of the "
                f"log to it with --map VALUE={name}"
            )
    for ids in (dataset.users, dataset.items):
        if len(ids) < 2:
            raise DataError(
                f"only one {ids.entity} ({ids.ids[0]!r}) has events{left_out}; at least two are "
                "needed to learn a ranking"
            )
    _remark(dataset, notes)


def _remark(dataset: Dataset, notes: Notes) -> None:
    if len(dataset.behaviors) == 1:
        notes.warn("only one behavior: no pair can be touched, and there is nothing to transfer")
    without = int(np.count_nonzero(np.diff(dataset.target.indptr) == 0))
    if without:
        notes.warn(
            f"{without:,} of {dataset.n_users:,} users have no {dataset.behaviors.target_name} "
            "events; they are learned from their other behaviors only"
        )


def check_test(test: Mapping[str, HeldOut], behaviors: Behaviors, kind: str) -> None:
    """Check that there are pairs of the target to test on.

    Raises:
        DataError: There are none; says what each kind of split needs.
    """
    target = behaviors.target_name
    if target in test and len(test[target]):
        return
    needs = {
        "last": f"no user has two {target} pairs, of which the last could be held out",
        "random": f"no user has two {target} pairs, of which one could be held out",
        "time": f"after the cut nothing new of known users and items happens under {target}",
    }
    reason = needs.get(kind, f"none of the given test pairs is usable as {target}")
    raise DataError(f"split {kind}: {reason}; give more data, or choose another --split")
