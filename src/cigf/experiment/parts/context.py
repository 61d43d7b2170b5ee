"""What all parts of a reproduction are made from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from cigf.experiment.cells import CellFolder
from cigf.experiment.comparing import Comparison
from cigf.experiment.comparison_report import comparison_report
from cigf.experiment.experiments import Experiment
from cigf.inference.artifact import Artifact, load_artifact
from cigf.reports.comparison import Report
from cigf.reports.page import Cell, Table
from cigf.reports.plots import Plot
from cigf.reports.published import PublishedData
from cigf.reports.reproduction import Part


@dataclass(frozen=True)
class Context:
    """What parts are made from.

    Args:
        comparison: The trained models.
        rows: The rows of the experiment: name in the comparison -> label.
        paper: What the paper reports for this dataset; None where it is another.
    """

    comparison: Comparison
    rows: Mapping[str, str]
    paper: PublishedData | None

    @cached_property
    def report(self) -> Report:
        """Figures of the rows, tested against each other; by their names in the comparison."""
        return comparison_report(self.comparison, only=self.rows)


def frame_part(experiment: Experiment, table: Table, frame: pl.DataFrame, *plots: Plot) -> Part:
    """Return a part of one table, whose numbers are one file."""
    return Part(experiment.name, experiment.title, [table], {"numbers": frame}, plots)


def trained(context: Context) -> list[tuple[str, list[CellFolder]]]:
    """Return the finished cells of every row, by label."""
    found = [(label, context.comparison.finished(row)) for row, label in context.rows.items()]
    return [(label, folders) for label, folders in found if folders]


def over_cells(
    context: Context, make: Callable[[Artifact, CellFolder], pl.DataFrame], keys: Sequence[str]
) -> pl.DataFrame:
    """Average a table over the seeds of each row; columns model, keys, means, n_seeds."""
    tables = []
    for label, folders in trained(context):
        for folder in folders:
            table = make(load_artifact(folder.run), folder)
            tables.append(table.insert_column(0, pl.lit(label).alias("model")))
    if not tables:
        return pl.DataFrame()
    grouped = pl.concat(tables).group_by("model", *keys, maintain_order=True)
    return grouped.agg(pl.exclude("n_nodes").mean(), n_seeds=pl.len())


def cells_of(frame: pl.DataFrame) -> list[list[Cell]]:
    """Return a table's cells for a page."""
    return [list(row) for row in frame.rows()]
