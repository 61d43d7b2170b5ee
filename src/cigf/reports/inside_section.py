"""The section of a report that shows what the model attends to: relations and gates."""

import polars as pl

from cigf.reports.charts import Row, Value, bar_chart
from cigf.reports.page import Figure, Figures, Section, Table, Text
from cigf.reports.run_facts import RunFacts


def inside_section(facts: RunFacts) -> Section | None:
    """Show the weights of relations and of experts, where the model has them."""
    figures = []
    if facts.relations is not None and facts.relations.height:
        figures += [
            _relations(facts.relations.filter(order=order), order)
            for order in facts.relations["order"].unique().sort()
        ]
    if facts.gates is not None and facts.gates.height:
        figures.append(_gates(facts.gates))
    if not figures:
        return None
    intro = Text(
        "A relation is a chain of behaviors along which a user is led to an item, such as view, "
        "then buy: others who viewed what she viewed, and what they bought. An expert is the "
        "model's view through one behavior; the gate decides how much each counts."
    )
    return Section("inside", "What the model attends to", [intro, Figures(figures)])


def _relations(table: pl.DataFrame, order: int) -> Figure:
    entries = [
        (" > ".join(walk), weight) for walk, weight in table.select("walk", "average").rows()
    ]
    words = [f"{name}: {weight:.3f}" for name, weight in entries]
    chart = bar_chart(
        [Row(name, [Value(weight)]) for name, weight in entries],
        ["weight"],
        alt=f"Attention of the average user. {'; '.join(words)}.",
        x_label="weight for the average user",
    )
    note = "The heaviest and the lightest, from the user on."
    numbers = Table(
        f"Relations of {order} behaviors",
        ("relation", "weight"),
        [[name, weight] for name, weight in entries],
    )
    return Figure(f"Relations of {order} behaviors", chart, note, numbers)


def _gates(gates: pl.DataFrame) -> Figure:
    tasks = gates["task"].unique(maintain_order=True).to_list()
    experts = gates["expert"].unique(maintain_order=True).to_list()
    weights = {(task, expert): w for task, expert, w in gates["task", "expert", "weight"].rows()}
    rows = [
        Row(
            f"task {task}",
            [Value(weights[task, e]) if (task, e) in weights else None for e in experts],
        )
        for task in tasks
    ]
    words = [f"{task} gives {expert} {weight:.2f}" for (task, expert), weight in weights.items()]
    chart = bar_chart(
        rows,
        [f"expert {expert}" for expert in experts],
        alt=f"Mean weights of the gates over the held-out pairs: {'; '.join(words)}.",
        x_label="mean weight",
    )
    note = "Means over the held-out pairs."
    if (
        len({tuple(value and round(value.value, 6) for value in row.values) for row in rows})
        == 1
        < len(rows)
    ):
        note += " All tasks share one gate."
    return Figure("What each task takes from each expert", chart, note)
