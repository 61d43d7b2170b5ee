"""A run on one page: the data, the figures beside the references, the curve, some lists.

Self-contained HTML without scripts. Reads the files of a run and of its dataset, never a model.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from cigf.errors import ArtifactError
from cigf.reports.charts import Point, Series, line_chart
from cigf.storage import new_file

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1d2733; background: #fff; }
h1 { margin-bottom: .2rem; } h2 { margin-top: 2.2rem; }
table { border-collapse: collapse; margin: .6rem 0; }
th, td { padding: .25rem .8rem; border-bottom: 1px solid #d8dee6; text-align: left; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
tr.model td { font-weight: 600; background: #eef5fb; }
.note { color: #56657a; } .curves { display: flex; flex-wrap: wrap; gap: 1rem; }
svg { width: 26rem; max-width: 100%; } svg .line { fill: none; stroke: #1769aa; stroke-width: 2; }
svg .mark { fill: #1769aa; } svg .axis, svg .grid { stroke: #9aa7b6; }
svg text { font-size: 11px; fill: #56657a; } figure { margin: 0; }
@media (prefers-color-scheme: dark) {
  body { color: #dde5ee; background: #14191f; } tr.model td { background: #1d2c3a; }
  th, td { border-color: #323d49; } .note, svg text { color: #9fb0c3; fill: #9fb0c3; }
  svg .line { stroke: #64b1ee; } svg .mark { fill: #64b1ee; }
}
"""

_MARKED = ' class="model"'
_SHOWN = ("hr@10", "ndcg@10", "mrr")
_CURVES = ("ndcg@10/1+99", "ndcg@10/full")


@dataclass(frozen=True)
class UserLists:
    """One user's example.

    Args:
        user: Her id.
        history: What she did: behavior -> item ids, the deepest behavior first.
        recommended: Name of a list -> item ids, best first.
    """

    user: str
    history: Mapping[str, Sequence[str]]
    recommended: Mapping[str, Sequence[str]]


def write_summary(
    run: Path, dataset: Path, out: Path, *, examples: Sequence[UserLists] = ()
) -> None:
    """Write the page of an evaluated run.

    Args:
        run: Folder of the run; `evaluation.json` and `metrics.jsonl` are read.
        dataset: Folder of its dataset; `manifest.json` is read.
        out: The HTML file.
        examples: Lists of a few users.

    Raises:
        ArtifactError: One of the files is missing or damaged.
    """
    report = _read_json(dataset / "manifest.json").get("extra", {}).get("report", {})
    evaluation = _read_json(run / "evaluation.json")
    epochs = [json.loads(line) for line in _read(run / "metrics.jsonl").splitlines()]
    page = summary_page(report, evaluation, epochs, examples)
    with new_file(out) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror})") from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(_read(path))
    except ValueError as error:
        raise ArtifactError(f"{path}: truncated or damaged: {error}") from None
    return values


def summary_page(
    report: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    epochs: Sequence[Mapping[str, Any]],
    examples: Sequence[UserLists] = (),
) -> str:
    """Return the page as HTML.

    Args:
        report: What preparing the dataset reported.
        evaluation: The JSON form of an evaluation.
        epochs: The lines of metrics.jsonl.
        examples: Lists of a few users.
    """
    parts = [_profile(report), _metrics(evaluation), _curves(epochs), _examples(examples)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>cigf: summary of a run</title><style>{_STYLE}</style></head>\n<body>"
        f"<h1>Summary of a run</h1>{''.join(part for part in parts if part)}</body></html>\n"
    )


def _profile(report: Mapping[str, Any]) -> str:
    if not report:
        return ""
    rows = [
        [name, count, report["n_valid"].get(name, 0), report["n_test"].get(name, 0)]
        for name, count in report["n_pairs"].items()
    ]
    return (
        f"<h2>Data</h2><p>{report['n_users']:,} users, {report['n_items']:,} items, "
        f"{report['n_events']:,} events.</p>"
        f"{_table(['behavior', 'pairs', 'validation pairs', 'test pairs'], rows)}"
        f'<p class="note">{escape(report["split"])}</p>'
    )


def _metrics(evaluation: Mapping[str, Any]) -> str:
    scorers = {"model": evaluation["metrics"], **evaluation.get("reference", {})}
    tables = []
    for protocol in evaluation["metrics"]:
        rows = [
            [
                f"{group} ({n:,})",
                name.replace("_", " "),
                *_figures(evaluation, name, protocol, group),
            ]
            for group, n in evaluation["n"].items()
            for name, metrics in scorers.items()
            if metrics.get(protocol, {}).get(group)
        ]
        header = ["pairs", "scorer", *_SHOWN]
        tables.append(f"<h3>{escape(protocol)}</h3>{_table(header, rows, mark=['model'])}")
    return (
        f"<h2>Quality on the {escape(evaluation['split'])} pairs</h2>{''.join(tables)}"
        '<p class="note">full ranks the whole catalog, 1+99 the item among 99 sampled ones: never '
        "compare the two. Touched pairs are items the user had shown interest in before; new ones "
        "are discoveries. In brackets: 95 % bootstrap intervals over users.</p>"
    )


def _figures(evaluation: Mapping[str, Any], scorer: str, protocol: str, group: str) -> list[str]:
    """The figures of a row, with the model's intervals where there are some."""
    metrics = evaluation["metrics"] if scorer == "model" else evaluation["reference"][scorer]
    intervals: Mapping[str, Any] = {}
    if scorer == "model":
        intervals = evaluation.get("intervals", {}).get(protocol, {}).get(group, {})
    figures = []
    for name in _SHOWN:
        value = metrics[protocol][group].get(name)
        text = "" if value is None else f"{value:.3f}"
        if name in intervals:
            low, high = intervals[name]
            text += f" [{low:.3f}, {high:.3f}]"
        figures.append(text)
    return figures


def _curves(epochs: Sequence[Mapping[str, Any]]) -> str:
    if not epochs:
        return ""
    charts = [_curve("training loss", [(e["epoch"], e["loss"]) for e in epochs])]
    validated = [e for e in epochs if e.get("metrics")]
    names = [name for name in _CURVES if validated and name in validated[0]["metrics"]]
    charts += [
        _curve(f"validation {name}", [(e["epoch"], e["metrics"][name]) for e in validated])
        for name in names
    ]
    seconds = sum(e["seconds"] for e in epochs)
    return (
        f'<h2>Training</h2><div class="curves">{"".join(charts)}</div>'
        f'<p class="note">{len(epochs)} epochs, {seconds:.1f} s of training.</p>'
    )


def _curve(title: str, points: Sequence[Point]) -> str:
    chart = line_chart([Series(title, points)], alt=title, x_label="epoch")
    return f"<figure><figcaption>{escape(title)}</figcaption>{chart.svg}</figure>"


def _examples(examples: Sequence[UserLists]) -> str:
    if not examples:
        return ""
    return f"<h2>Recommendations</h2>{''.join(map(_example, examples))}"


def _example(example: UserLists) -> str:
    lists = [*example.history.items(), *example.recommended.items()]
    rows = [[name, ", ".join(items) or "-"] for name, items in lists]
    table = _table(["", "items"], rows, mark=tuple(example.recommended), column=0)
    return f"<h3>User {escape(example.user)}</h3>{table}"


def _table(
    header: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    mark: Sequence[str] = (),
    column: int = 1,
) -> str:
    """Return a table; rows with a word of `mark` in a column stand out."""
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join(
        f"<tr{_MARKED if row[column] in mark else ''}>{''.join(map(_cell, row))}</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    if isinstance(value, int):
        return f'<td class="number">{value:,}</td>'
    return f"<td>{escape(str(value))}</td>"
