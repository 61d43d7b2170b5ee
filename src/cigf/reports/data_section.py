"""The section of a report that shows the data."""

import polars as pl

from cigf.reports.charts import Row, Series, Value, bar_chart, line_chart
from cigf.reports.page import Block, Details, Figure, Figures, Section, Table, Text
from cigf.reports.run_facts import RunFacts

_MOST_SUBSETS = 8
_MOST_POINTS = 60


def data_section(facts: RunFacts) -> Section:
    """Show the behaviors, how active users are, how behaviors overlap, and what is held out."""
    description = facts.description
    blocks: list[Block] = [
        _behaviors(facts),
        Figures([_activity(facts), _overlaps(facts)]),
        Text(
            f"{description.split[:1].upper()}{description.split[1:]}." if description.split else ""
        ),
    ]
    if description.held_out.height:
        rows = [list(row) for row in description.held_out.rows()]
        blocks.append(Table("Held out", ("part", "behavior", "pairs", "users"), rows))
    if facts.dropped:
        rows = [[reason, count] for reason, count in facts.dropped.items()]
        blocks.append(
            Details(
                "Left out when the data were prepared", [Table("Left out", ("why", "rows"), rows)]
            )
        )
    return Section("data", "The data", [b for b in blocks if not isinstance(b, Text) or b.text])


def _behaviors(facts: RunFacts) -> Table:
    names = ("n_pairs", "n_users", "n_items", "mean_per_user", "median_per_user", "target_share")
    rows = []
    for row in facts.description.behaviors.iter_rows(named=True):
        rows.append(
            [
                row["behavior"],
                *(row[name] for name in names[:3]),
                f"{row['mean_per_user']:.1f}",
                f"{row['median_per_user']:.0f}",
                f"{100 * row['target_share']:.0f} %",
            ]
        )
    target = facts.behaviors[-1]
    header = ("behavior", "pairs", "users", "items", "per user", "median", f"also {target}")
    caption = "Distinct pairs of a user and an item, all that is known at test time"
    return Table(caption, header, rows, marked=[len(rows) - 1])


def _activity(facts: RunFacts) -> Figure:
    series = []
    for name in facts.behaviors:
        points = _at_least(facts.description.activity.filter(behavior=name))
        if points:
            series.append(Series(name, points))
    typical = [
        f"half of the users have {row['median_per_user']:.0f} {row['behavior']} pairs or fewer"
        for row in facts.description.behaviors.iter_rows(named=True)
    ]
    chart = line_chart(
        series,
        alt=f"Share of users with at least so many pairs: {'; '.join(typical)}.",
        x_label="at least so many items (log scale)",
        log_x=True,
        from_zero=True,
    )
    return Figure("How active users are", chart, "Percent of the users, by behavior.")


def _at_least(activity: pl.DataFrame) -> list[tuple[int, float]]:
    """Return points (n, percent of the users with n pairs or more), not more than are legible."""
    ordered = activity.sort("n_interactions", descending=True)
    share = 100 * ordered["n_users"].cum_sum() / max(ordered["n_users"].sum(), 1)
    table = ordered.select("n_interactions").with_columns(share=share).reverse()
    table = table.filter(pl.col("n_interactions") > 0)
    step = max(1, table.height // _MOST_POINTS)
    last = table.height - 1
    kept = [n for n in range(table.height) if n < _MOST_POINTS // 2 or n % step == 0 or n == last]
    return [(int(n), float(percent)) for n, percent in table[kept].rows()]


def _overlaps(facts: RunFacts) -> Figure:
    present = facts.description.overlaps.filter(pl.col("n_pairs") > 0)
    shown = present.sort("n_pairs", descending=True).head(_MOST_SUBSETS)
    counts = shown.select("subset", "n_pairs", "n_users").rows()
    rows = [Row(subset, [Value(n_pairs)]) for subset, n_pairs, _ in counts]
    words = [f"{subset}: {n_pairs:,}" for subset, n_pairs, _ in counts]
    table = Table(
        "Pairs with exactly these behaviors",
        ("behaviors", "pairs", "users"),
        list(map(list, counts)),
    )
    return Figure(
        "How behaviors overlap",
        bar_chart(rows, ["pairs"], alt=f"Pairs. {'; '.join(words)}.", x_label="pairs"),
        "Pairs that have exactly these behaviors.",
        table,
    )
