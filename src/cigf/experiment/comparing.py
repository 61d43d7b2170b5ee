"""A comparison: a grid of cells in one folder, and what their ranks add up to.

comparison.json          dataset, fingerprint, rows and seeds
pairs.parquet            the test pairs, in the order of all ranks
cells/ROW/seed-S/        one cell each
rules/NAME.parquet       ranks of the rules that learn nothing
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cigf.data.dataset_store import load_split
from cigf.data.splitting import Split
from cigf.data.tasks import PROTOCOLS, RankCounts
from cigf.errors import ArtifactError, OutputError
from cigf.evaluation.evaluator import DEFAULT_KS, Evaluation, evaluation_task, measure_counts
from cigf.evaluation.metrics import metric_names
from cigf.evaluation.over_seeds import Measured, load_counts, over_seeds, save_counts
from cigf.experiment.cells import CellFolder, Outcome
from cigf.experiment.config import load_experiment
from cigf.experiment.entries import Entry, check_entries
from cigf.experiment.evaluating import REFERENCES
from cigf.experiment.running import Cell, Start, Watcher, folder_of, run_cells
from cigf.ranking import rank_counts
from cigf.storage import new_file, write_json

FORMAT = 1
METRICS = metric_names(("hr", "ndcg", "mrr"), DEFAULT_KS)


@dataclass(frozen=True)
class Result:
    """What is known of a row.

    Args:
        name: Its name.
        is_rule: Whether it is a rule that learns nothing.
        measured: Its figures; None where no cell has finished.
        outcomes: How its cells ended, by seed; those that did not are missing.
        n_seeds: How many cells it should have.
    """

    name: str
    is_rule: bool
    measured: Measured | None
    outcomes: Mapping[int, Outcome]
    n_seeds: int


class Comparison:
    """A grid of cells in a folder.

    Args:
        dataset: A prepared dataset.
        out: The folder; an earlier comparison in it is continued, also with more rows or seeds.
        entries: The rows.
        seeds: The columns.

    Raises:
        DataError: The dataset holds out no test pairs of the target.
        ConfigError: A model cannot take the dataset.
        ArtifactError: The folder holds cells with other options.
        OutputError: The folder holds something else, or a comparison on other data.
    """

    def __init__(
        self, dataset: Path, out: Path, entries: Sequence[Entry], seeds: Sequence[int]
    ) -> None:
        self.dataset, self.out = dataset, out
        self.entries, self.seeds = tuple(entries), tuple(seeds)
        self.split = load_split(dataset)
        check_entries(entries, self.split)
        self._task = evaluation_task(self.split)
        self.fingerprint = fingerprint(self.split)
        self._check_folder()
        self.cells = tuple(
            Cell(entry.name, seed, entry.with_seed(seed), folder_of(out, entry.name, seed))
            for seed in seeds
            for entry in entries
        )
        for cell in self.cells:
            cell.folder.check(cell.config)
        self._write()

    def _check_folder(self) -> None:
        if not self.out.exists() or not any(
            path for path in self.out.iterdir() if path.name != ".lock"
        ):
            return
        known = read_comparison(self.out)
        if known["fingerprint"] != self.fingerprint:
            raise OutputError(
                f"{self.out} holds a comparison on other data ({known['dataset']}, fingerprint "
                f"{known['fingerprint']}; now {self.fingerprint}); choose another --out"
            )

    def _write(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        pairs = pl.DataFrame(
            {
                "user_id": self.split.train.users.external(self._task.task.users),
                "item_id": self.split.train.items.external(self._task.task.items),
            }
        )
        with new_file(self.out / "pairs.parquet") as temporary:
            pairs.write_parquet(temporary)
        for cell in self.cells:
            cell.folder.begin(cell.config)
        state = {
            "format": FORMAT,
            "dataset": str(self.dataset.resolve()),
            "fingerprint": self.fingerprint,
            "rows": [entry.name for entry in self.entries],
            "seeds": list(self.seeds),
        }
        write_json(self.out / "comparison.json", state)

    def rank_rules(self) -> None:
        """Rank with the rules that learn nothing, where that is not done yet."""
        history = self.split.history("test")
        for name, build in REFERENCES.items():
            path = self._rule(name)
            if not path.exists():
                scorer = build(history, history.behaviors.target)
                save_counts(rank_counts(scorer, self._task.task), path)

    def _rule(self, name: str) -> Path:
        return self.out / "rules" / f"{name}.parquet"

    def run(self, start: Start, *, jobs: int = 1, watcher: Watcher | None = None) -> None:
        """Run what is not finished; see `run_cells`."""
        run_cells(self.cells, start, jobs=jobs, watcher=watcher)

    def finished(self, row: str) -> list[CellFolder]:
        """Return the finished cells of a row, by seed."""
        return [cell.folder for cell in self.cells if cell.row == row and cell.folder.is_finished()]

    def results(self, only: Collection[str] | None = None) -> list[Result]:
        """Measure what is there: the rules, then the rows in their order.

        Args:
            only: Some of the rows, in the order wanted; None for all.
        """
        self.rank_rules()
        rows = [entry.name for entry in self.entries] if only is None else list(only)
        rules = [
            Result(row_of_rule(name), True, over_seeds([self._measure(self._rule(name))]), {}, 1)
            for name in REFERENCES
            if row_of_rule(name) not in rows
        ]
        return [*rules, *map(self._result, rows)]

    def _result(self, row: str) -> Result:
        outcomes = {
            cell.seed: outcome
            for cell in self.cells
            if cell.row == row and (outcome := cell.folder.outcome()) is not None
        }
        ranks = [folder.ranks for folder in self.finished(row)]
        measured = over_seeds(map(self._measure, ranks)) if ranks else None
        return Result(row, learns_nothing(row), measured, outcomes, len(self.seeds))

    def _measure(self, ranks: Path) -> Evaluation:
        counts = self._checked(load_counts(ranks), ranks)
        return measure_counts(counts, self._positions, self._task.user_ids, PROTOCOLS, METRICS)

    def _checked(self, counts: RankCounts, path: Path) -> RankCounts:
        if len(counts.is_touched) != self.n_pairs:
            raise ArtifactError(
                f"{path}: ranks of {len(counts.is_touched)} pairs, the dataset holds out "
                f"{self.n_pairs}; remove the file and run the comparison again"
            )
        return counts

    @property
    def n_pairs(self) -> int:
        """Number of test pairs."""
        return len(self._task.task)

    @cached_property
    def _positions(self) -> NDArray[np.int64]:
        return np.unique(self._task.task.users, return_inverse=True)[1]


def open_comparison(dataset: Path, out: Path) -> Comparison:
    """Return the comparison that a folder holds, to report on it.

    Raises:
        OutputError: It holds none, or one on other data.
    """
    known = read_comparison(out)
    seeds = known["seeds"]
    entries = [
        Entry(row, load_experiment(folder_of(out, row, seeds[0]).config)) for row in known["rows"]
    ]
    return Comparison(dataset, out, entries, seeds)


def row_of_rule(name: str) -> str:
    """Return what a rule is called in tables: as a model would be."""
    return name.replace("_", "-")


RULES = tuple(map(row_of_rule, REFERENCES))


def learns_nothing(row: str) -> bool:
    """Tell whether a row is a rule or a variant of one, such as touched-first-conversion."""
    return any(row == rule or row.startswith(f"{rule}-") for rule in RULES)


def fingerprint(split: Split) -> str:
    """Identify training data and test pairs of the target together."""
    held_out = split.test[split.train.behaviors.target_name]
    digest = blake2b(split.train.fingerprint.encode(), digest_size=8)
    for array in (held_out.users, held_out.items):
        digest.update(np.ascontiguousarray(array, dtype=np.int64).tobytes())
    return digest.hexdigest()


def read_comparison(out: Path) -> dict[str, Any]:
    """Read comparison.json.

    Raises:
        OutputError: The folder holds something else.
    """
    try:
        known: dict[str, Any] = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
        if known["format"] == FORMAT:
            return known
    except (OSError, json.JSONDecodeError, KeyError):
        pass
    raise OutputError(
        f"{out} exists and is not the folder of a comparison that this version can continue; "
        "choose another --out"
    )
