"""The sections of a report that say how good the lists are, and for whom."""

from collections.abc import Sequence

from cigf.reports.cautions import percent
from cigf.reports.charts import Row, value_chart
from cigf.reports.page import Details, Figure, Figures, Section, Table, Text
from cigf.reports.run_facts import MODEL, Quality, RunFacts, UserGroup

_PROTOCOLS = {"full": "among the whole catalog", "1+99": "among 99 sampled items"}


def words_of(scorer: str) -> str:
    """Return a scorer's name in words."""
    return scorer.replace("touched_first", "touched first")


def quality_section(facts: RunFacts) -> Section | None:
    """Show every protocol and group of pairs, the model beside the rules."""
    quality = facts.quality
    if quality is None:
        return None
    intro = Text(
        f"Each {quality.part} pair is something a user went on to take; the model must put it near "
        "the top. Touched: she had met the item before. New: a discovery. Popularity and the rule "
        "that puts touched items first learn nothing; a model should beat both. Whiskers hold the "
        "true mean with 95 % confidence (bootstrap over users). Never compare the two protocols."
    )
    figures = [_protocol_figure(quality, protocol) for protocol in quality.measured[MODEL]]
    tables = Details(
        "All figures", [_protocol_table(quality, name) for name in quality.measured[MODEL]]
    )
    return Section("quality", "How good the lists are", [intro, Figures(figures), tables])


def _protocol_figure(quality: Quality, protocol: str) -> Figure:
    scorers = list(quality.measured)
    metric = quality.names[0]
    rows = [
        Row(
            f"{group} ({n:,})",
            [quality.measured[each][protocol].get(group, {}).get(metric) for each in scorers],
        )
        for group, n in quality.n_pairs.items()
        if n
    ]
    series = [words_of(scorer) for scorer in scorers]
    return Figure(
        f"{metric.upper()} {_PROTOCOLS.get(protocol, protocol)}",
        value_chart(
            rows, series, alt=_alt(rows, series, metric), x_label=f"{metric.upper()}, {protocol}"
        ),
    )


def _alt(rows: Sequence[Row], series: Sequence[str], metric: str) -> str:
    parts = []
    for row in rows:
        values = [
            f"{name} {percent(value.value)}"
            for name, value in zip(series, row.values, strict=True)
            if value is not None
        ]
        parts.append(f"{row.label}: {', '.join(values)}")
    return f"{metric.upper()}. {'; '.join(parts)}."


def _protocol_table(quality: Quality, protocol: str) -> Table:
    rows: list[list[str]] = []
    marked: list[int] = []
    for group, n in quality.n_pairs.items():
        for scorer, measured in quality.measured.items():
            values = measured[protocol].get(group, {})
            if not values:
                continue
            if scorer == MODEL:
                marked.append(len(rows))
            cells = [_figure_cell(values.get(name)) for name in quality.names]
            rows.append([f"{group} ({n:,})", words_of(scorer), *cells])
    header = ("pairs", "scorer", *(name.upper() for name in quality.names))
    caption = f"{protocol}: {_PROTOCOLS.get(protocol, protocol)}; in brackets 95 % intervals"
    return Table(caption, header, rows, marked)


def _figure_cell(value: object) -> str:
    low, high = getattr(value, "low", None), getattr(value, "high", None)
    mean = getattr(value, "value", None)
    if mean is None:
        return ""
    return f"{mean:.3f}" if low is None else f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def served_section(facts: RunFacts) -> Section | None:
    """Show groups of users: by activity, and by how their behaviors go together."""
    quality = facts.quality
    if quality is None:
        return None
    figures = [
        _group_figure(quality, groups, title, note)
        for groups, title, note in (
            (
                quality.by_activity,
                "By activity",
                "Users by their number of interactions under all behaviors.",
            ),
            (
                quality.by_correlation,
                "By correlation of behaviors",
                "How much a user's behaviors fall on the same items (mean correlation). Every "
                "group holds users of all degrees of activity.",
            ),
        )
        if groups
    ]
    if not figures:
        return None
    return Section("served", "Whom it serves well", [_spread(quality), Figures(figures)])


def _group_figure(quality: Quality, groups: Sequence[UserGroup], title: str, note: str) -> Figure:
    scorers = list(quality.measured)
    metric, series = quality.names[0], [words_of(scorer) for scorer in scorers]
    rows = [Row(each.label, [each.values.get(scorer) for scorer in scorers]) for each in groups]
    table = Table(
        f"{title}: {metric.upper()}, {quality.protocol}",
        ("users", "number", *series),
        [
            [each.label, each.n_users, *(_figure_cell(each.values.get(s)) for s in scorers)]
            for each in groups
        ],
    )
    label = f"{metric.upper()}, {quality.protocol}"
    chart = value_chart(rows, series, alt=_alt(rows, series, metric), x_label=label)
    return Figure(title, chart, note, table)


def _spread(quality: Quality) -> Text:
    """Say in a sentence which group is served best and worst."""
    groups = [each for each in quality.by_activity if MODEL in each.values]
    if len(groups) < 2:
        return Text("There are too few users to tell groups apart.")
    ordered = sorted(groups, key=lambda each: each.values[MODEL].value)
    worst, best = ordered[0], ordered[-1]
    words = (
        f"By activity, it serves users with {best.label} interactions best "
        f"({quality.names[0].upper()} {percent(best.values[MODEL].value)}) and those with "
        f"{worst.label} worst ({percent(worst.values[MODEL].value)})"
    )
    low, high = best.values[MODEL].low, worst.values[MODEL].high
    if low is not None and high is not None and low <= high:
        words += "; their intervals overlap, so that may be chance"
    return Text(f"{words}.")
