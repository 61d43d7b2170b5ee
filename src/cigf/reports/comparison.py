"""A comparison of models as Markdown, CSV, LaTeX and one HTML page; plain values in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from pathlib import Path

import polars as pl

from cigf.evaluation.over_seeds import Difference, Measured, Name
from cigf.reports.charts import Row as ChartRow
from cigf.reports.charts import Value, value_chart
from cigf.reports.page import (
    Block,
    Cell,
    Details,
    Figure,
    Figures,
    Page,
    Section,
    Strong,
    Table,
    Text,
    write_page,
)
from cigf.reports.texts import to_latex, to_markdown
from cigf.storage import new_file

PROTOCOLS = ("full", "1+99")
GROUPS = ("all", "touched", "new")
SHOWN = ("hr@10", "ndcg@10")

_TITLES = {
    "full": "full: the held-out item among the whole catalog",
    "1+99": "1+99: the held-out item among 99 sampled ones",
}
_SIGNIFICANT = 0.05


@dataclass(frozen=True, eq=False)
class Row:
    """A model, or a rule that learns nothing.

    Args:
        name: What it is called.
        is_rule: Whether it learns nothing.
        measured: Its figures; None where no run has finished.
        n_seeds: Runs that it should have.
        epochs: Mean of the epochs that were kept.
        train_seconds: Mean time of training, validation not included.
        seconds: Mean wall time of a run's processes.
        peak_mb: Largest resident memory of a run, in megabytes.
        remark: What went wrong.
    """

    name: str
    is_rule: bool
    measured: Measured | None
    n_seeds: int
    epochs: float | None = None
    train_seconds: float | None = None
    seconds: float | None = None
    peak_mb: float | None = None
    remark: str = ""


@dataclass(frozen=True)
class Report:
    """All that the files are made of.

    Args:
        title: Heading.
        lead: The answer in words.
        rows: Rules first.
        tests: Against the best; see `against_best`.
        facts: How it was measured: what -> value.
        notes: Sentences that a reader needs.
    """

    title: str
    lead: str
    rows: Sequence[Row]
    tests: Sequence[Difference]
    facts: Mapping[str, str]
    notes: Sequence[str] = field(default=())


def figure(measured: Measured, name: Name) -> str:
    """Return mean and standard deviation over seeds, such as ".0243 ± .0005"."""
    mean, deviation = measured.mean(name), measured.deviation(name)
    if isnan(mean):
        return ""
    return short(mean) if deviation is None else f"{short(mean)} ± {short(deviation)}"


def short(value: float) -> str:
    """Return a figure between 0 and 1 with four digits, without its zero: .0243."""
    return f"{value:.4f}".removeprefix("0")


def quality_table(report: Report, protocol: str) -> Table:
    """Return HR@10 and NDCG@10 of all rows for all, touched and new pairs; the best stand out."""
    names = [(protocol, group, metric) for group in GROUPS for metric in SHOWN]
    best = {name: _best(report.rows, name) for name in names}
    rows: list[list[Cell]] = []
    for row in report.rows:
        cells: list[Cell] = [row.name]
        for name in names:
            words = "" if row.measured is None else figure(row.measured, name)
            cells.append(Strong(words) if row.name in best[name] and words else words)
        rows.append([*cells, _runs(row)])
    header = [f"{metric.upper()} {group}" for _, group, metric in names]
    return Table(_TITLES[protocol], ["model", *header, "runs"], rows)


def _best(rows: Sequence[Row], name: Name) -> set[str]:
    means = {
        row.name: mean
        for row in rows
        if row.measured is not None and not isnan(mean := row.measured.mean(name))
    }
    return {each for each, mean in means.items() if mean == max(means.values())}


def _runs(row: Row) -> str:
    done = 0 if row.measured is None else len(row.measured.per_seed)
    return "rule" if row.is_rule else f"{done} of {row.n_seeds}"


def cost_table(report: Report) -> Table:
    """Return what each model cost."""
    rows: list[list[Cell]] = []
    for row in report.rows:
        if row.seconds is not None or row.remark:
            numbers = (row.epochs, row.train_seconds, row.seconds, row.peak_mb)
            shown = ["" if value is None else f"{value:,.1f}" for value in numbers]
            rows.append([row.name, *shown, row.remark])
    header = ["model", "epochs kept", "s of training", "s in all", "peak MB", "remark"]
    caption = "Cost: means over the runs; the largest peak memory"
    return Table(caption, header, rows)


def difference_table(report: Report, protocol: str, group: str, metric: str) -> Table:
    """Return the tests of one figure against its best model."""
    tests = [each for each in report.tests if each.name == (protocol, group, metric)]
    rows: list[list[Cell]] = [
        [
            each.model,
            f"{each.difference:+.4f}",
            f"{each.low:+.4f} to {each.high:+.4f}",
            _p(each.holm_bootstrap),
            _p(each.holm_wilcoxon),
            _verdict(each),
        ]
        for each in tests
    ]
    best = tests[0].best if tests else "nothing"
    caption = f"{metric.upper()}, {protocol}, {group} pairs, against {best}"
    header = ["model", "difference", "95 % interval", "p bootstrap", "p Wilcoxon", "difference is"]
    return Table(caption, header, rows)


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _verdict(test: Difference) -> str:
    ways = [p < _SIGNIFICANT for p in (test.holm_bootstrap, test.holm_wilcoxon)]
    return "significant" if all(ways) else "tests disagree" if any(ways) else "not significant"


def page(report: Report) -> Page:
    """Return the page."""
    measured = [row for row in report.rows if row.measured is not None]
    quality: list[Block] = [quality_table(report, protocol) for protocol in PROTOCOLS]
    charts = [_chart(measured, protocol) for protocol in PROTOCOLS if measured]
    tests: list[Block] = [
        Text(
            "Each user's figures are averaged over the seeds; users are resampled. p values are "
            "two-sided and corrected by Holm's method for all rows of a table. The best is the "
            "model with the highest mean; rules that learn nothing are compared with it too."
        )
    ]
    for protocol in PROTOCOLS:
        shown = difference_table(report, protocol, "all", "ndcg@10")
        others = [
            difference_table(report, protocol, group, metric)
            for group in GROUPS
            for metric in SHOWN
            if (group, metric) != ("all", "ndcg@10")
        ]
        if shown.rows:
            tests += [shown, Details(f"{protocol}: the other figures", others)]
    facts = Table("Facts", ["what", "value"], list(map(list, report.facts.items())))
    sections = [
        Section("quality", "Quality", [*quality, Figures(charts)]),
        Section("tests", "Are the differences more than chance?", tests),
        Section("cost", "Time and memory", [cost_table(report)]),
        Section("measured", "How it was measured", [*map(Text, report.notes), facts]),
    ]
    if len(tests) == 1:
        sections.pop(1)
    return Page(report.title, report.lead, sections)


def _chart(rows: Sequence[Row], protocol: str) -> Figure:
    name = (protocol, "all", "ndcg@10")
    drawn = []
    for row in rows:
        assert row.measured is not None
        mean, spread = row.measured.mean(name), row.measured.deviation(name)
        value = Value(mean) if spread is None else Value(mean, mean - spread, mean + spread)
        drawn.append(ChartRow(row.name, [value]))
    what = f"NDCG@10, {protocol}, all pairs"
    best = max(rows, key=lambda row: row.measured.mean(name) if row.measured else 0.0)
    alt = f"{what} of {len(rows)} rows; the highest is {best.name}."
    chart = value_chart(drawn, ["mean"], alt=alt, x_label="NDCG@10")
    return Figure(what, chart, "Mean and standard deviation over the seeds.")


def to_text(report: Report) -> str:
    """Return the report as Markdown."""
    parts = [f"# {report.title}\n", f"{report.lead}\n"]
    parts += [to_markdown(quality_table(report, protocol)) for protocol in PROTOCOLS]
    tests = [difference_table(report, protocol, "all", "ndcg@10") for protocol in PROTOCOLS]
    parts += [to_markdown(table) for table in tests if table.rows]
    parts += [to_markdown(cost_table(report)), "## How it was measured\n"]
    parts += [f"{note}\n" for note in report.notes]
    parts.append("".join(f"- {what}: {value}\n" for what, value in report.facts.items()))
    return "\n".join(parts)


def results_frame(report: Report) -> pl.DataFrame:
    """Return mean and deviation of everything measured: one row per model and figure."""
    rows = [
        {
            "model": row.name,
            "protocol": name[0],
            "group": name[1],
            "metric": name[2],
            "n_seeds": len(row.measured.per_seed),
            "mean": row.measured.mean(name),
            "sd": row.measured.deviation(name),
        }
        for row in report.rows
        if row.measured is not None
        for name in row.measured.names
    ]
    return pl.DataFrame(rows, schema_overrides={"sd": pl.Float64}).fill_nan(None)


def difference_frame(report: Report) -> pl.DataFrame:
    """Return every test."""
    rows = []
    for each in report.tests:
        values = {name: value for name, value in vars(each).items() if name != "name"}
        keys = dict(zip(("protocol", "group", "metric"), each.name, strict=True))
        rows.append({**keys, **values})
    return pl.DataFrame(rows)


def costs_frame(report: Report) -> pl.DataFrame:
    """Return what each model cost."""
    names = ("n_seeds", "epochs", "train_seconds", "seconds", "peak_mb", "remark")
    rows = [
        {"model": row.name, **{name: getattr(row, name) for name in names}}
        for row in report.rows
        if not row.is_rule
    ]
    schema = {name: pl.Float64 for name in names[1:-1]}
    return pl.DataFrame(rows, schema_overrides=schema)


def write_report(report: Report, out: Path) -> list[Path]:
    """Write all files of a report; return them."""
    latex = [
        to_latex(quality_table(report, protocol), f"quality-{protocol.replace('+', '-')}")
        for protocol in PROTOCOLS
    ]
    texts = {
        "report.md": to_text(report),
        "report.tex": "\n".join([*latex, to_latex(cost_table(report), "cost")]),
        "results.csv": results_frame(report).write_csv(),
        "tests.csv": difference_frame(report).write_csv(),
        "costs.csv": costs_frame(report).write_csv(),
    }
    for name, text in texts.items():
        with new_file(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    write_page(page(report), out / "report.html")
    return [out / name for name in ("report.html", *texts)]
