"""Tables and figures of quality: HR and NDCG by model, and by group of users."""

from dataclasses import replace

import numpy as np
import polars as pl

from cigf.analysis.user_groups import correlation_groups
from cigf.experiment.experiments import Experiment
from cigf.experiment.parts.context import Context, cells_of, frame_part
from cigf.reports.comparison import (
    PROTOCOLS,
    Report,
    difference_table,
    quality_table,
    results_frame,
    short,
)
from cigf.reports.page import Cell, Table
from cigf.reports.plots import Curve, Plot
from cigf.reports.reproduction import Part

HR, NDCG = "hr@10", "ndcg@10"


def quality(experiment: Experiment, context: Context) -> Part:
    """HR and NDCG of the rows, the paper's beside them."""
    labels = context.rows
    shown = [replace(row, name=labels.get(row.name, row.name)) for row in context.report.rows]
    tests = [
        replace(
            test,
            best=labels.get(test.best, test.best),
            model=labels.get(test.model, test.model),
        )
        for test in context.report.tests
    ]
    report = replace(context.report, rows=shown, tests=tests)
    tables = [quality_table(report, protocol) for protocol in reversed(PROTOCOLS)]
    tested = difference_table(report, "1+99", "all", NDCG)
    tables += [tested] if tested.rows else []
    frames = {"numbers": results_frame(report)}
    if context.paper is not None:
        tables.insert(0, _beside(report, context))
    plots = [_quality_plot(report, context, protocol) for protocol in reversed(PROTOCOLS)]
    return Part(experiment.name, experiment.title, tables, frames, plots)


def _beside(report: Report, context: Context) -> Table:
    """The protocol of the paper: our figures and the published ones."""
    assert context.paper is not None
    cells: list[list[Cell]] = []
    for row in report.rows:
        published = context.paper.quality(row.name) or (None, None)
        ours = [
            row.measured.mean(("1+99", "all", metric)) if row.measured else None
            for metric in (HR, NDCG)
        ]
        figures = [ours[0], published[0], ours[1], published[1]]
        cells.append([row.name, *("" if each is None else short(each) for each in figures)])
    header = ["model", "HR@10 here", "HR@10 paper", "NDCG@10 here", "NDCG@10 paper"]
    return Table(f"1+99, all pairs, beside the paper's {context.paper.name}", header, cells)


def _quality_plot(report: Report, context: Context, protocol: str) -> Plot:
    labels = list(context.rows.values())
    rows = {row.name: row for row in report.rows}
    curves = []
    for metric in (HR, NDCG):
        name = (protocol, "all", metric)
        found = [rows[label].measured if label in rows else None for label in labels]
        means = [each.mean(name) if each else None for each in found]
        spreads = [each.deviation(name) if each else None for each in found]
        curves.append(Curve(f"{metric.upper()} here", means, spreads))
        if context.paper is not None and protocol == "1+99":
            published = [context.paper.quality(label) for label in labels]
            index = (HR, NDCG).index(metric)
            values = [None if each is None else each[index] for each in published]
            if any(value is not None for value in values):
                curves.append(Curve(f"{metric.upper()} paper", values))
    numbers = [label.removeprefix("L = ") for label in labels]
    lines = all(number.isdigit() for number in numbers)
    return Plot(
        name=f"quality-{protocol.replace('+', '-')}",
        title=f"All pairs, {protocol}",
        x_label="layers L" if lines else "model",
        y_label="HR@10 and NDCG@10",
        places=[int(number) for number in numbers] if lines else labels,
        curves=curves,
        lines=lines,
    )


def groups(experiment: Experiment, context: Context) -> Part:
    """Quality in groups of users by how their behaviors correlate."""
    split = context.comparison.split
    history = split.history("test")
    users = np.unique(split.test[split.train.behaviors.target_name].users)
    found = correlation_groups(history, users)
    rows = [
        row
        for row in context.report.rows
        if row.measured and (row.is_rule or row.name in context.rows)
    ]
    numbers = [
        {
            "model": context.rows.get(row.name, row.name),
            "group": group + 1,
            "n_users": int((found.group == group).sum()),
            "correlation": float(found.value[found.group == group].mean()),
            "interactions": float(found.n_interactions[found.group == group].mean()),
            "protocol": protocol,
            HR: float(row.measured.users((protocol, "all", HR))[found.group == group].mean()),
            NDCG: float(row.measured.users((protocol, "all", NDCG))[found.group == group].mean()),
        }
        for row in rows
        if row.measured is not None
        for protocol in reversed(PROTOCOLS)
        for group in range(found.n_groups)
    ]
    frame = pl.DataFrame(numbers)
    header = ["model", "group", "users", "correlation", "interactions", "protocol", "HR", "NDCG"]
    plots = [_group_plot(frame, protocol) for protocol in reversed(PROTOCOLS) if frame.height]
    table = Table("HR@10 and NDCG@10 by group of users", header, cells_of(frame))
    return frame_part(experiment, table, frame, *plots)


def _group_plot(frame: pl.DataFrame, protocol: str) -> Plot:
    own = frame.filter(pl.col("protocol") == protocol)
    places = own["group"].unique().sort().to_list()
    return Plot(
        name=f"groups-{protocol.replace('+', '-')}",
        title=f"Groups of users, {protocol}",
        x_label="group by correlation of behaviors, ascending",
        y_label="NDCG@10",
        places=places,
        curves=[
            Curve(str(name), table.sort("group")[NDCG].to_list())
            for (name,), table in own.group_by("model", maintain_order=True)
        ],
        lines=True,
    )
