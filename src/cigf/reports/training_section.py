"""The section of a report that shows how training went."""

from collections.abc import Sequence

from cigf.reports.charts import Series, line_chart
from cigf.reports.page import Figure, Figures, Section, Table, Text
from cigf.reports.run_facts import RunFacts


def training_section(facts: RunFacts) -> Section | None:
    """Show the losses and the validation metrics by epoch."""
    if not facts.epochs:
        return None
    selected = facts.info.get("selected_epoch")
    names = [name for name in facts.behaviors if any(e["losses"].get(name) for e in facts.epochs)]
    figures = [_losses(facts, names, selected)] if names else []
    if facts.validated:
        figures.append(_validation(facts, selected))
    words = f"Ended because: {facts.info.get('reason', 'unknown')}."
    if selected is not None:
        words += f" The weights of epoch {selected} were kept."
    return Section(
        "training", "How training went", [Text(words), *([Figures(figures)] if figures else [])]
    )


def _losses(facts: RunFacts, names: Sequence[str], selected: int | None) -> Figure:
    series = [
        Series(name, [(each["epoch"], each["losses"][name]) for each in facts.epochs])
        for name in names
    ]
    falls = [
        f"{each.name} from {each.points[0][1]:.3f} to {each.points[-1][1]:.3f}" for each in series
    ]
    alt = f"Training loss over {len(facts.epochs)} epochs: {', '.join(falls)}."
    chart = line_chart(
        series, alt=alt, x_label="epoch", mark=selected, mark_label="kept", from_zero=True
    )
    rows = [[e["epoch"], *(float(e["losses"][name]) for name in names)] for e in facts.epochs]
    table = Table("Loss by epoch", ("epoch", *names), rows)
    return Figure("Training loss", chart, "One loss per behavior; lower is better.", table)


def _validation(facts: RunFacts, selected: int | None) -> Figure:
    names = sorted(facts.validated[0]["metrics"])
    series = [
        Series(name, [(each["epoch"], each["metrics"][name]) for each in facts.validated])
        for name in names
    ]
    best = max(each["metrics"][facts.metric] for each in facts.validated)
    alt = (
        f"Validation metrics over {len(facts.validated)} validations; {facts.metric} reaches "
        f"{best:.3f}."
    )
    chart = line_chart(
        series, alt=alt, x_label="epoch", mark=selected, mark_label="kept", from_zero=True
    )
    rows = [[e["epoch"], *(float(e["metrics"][n]) for n in names)] for e in facts.validated]
    table = Table("Validation by epoch", ("epoch", *names), rows)
    note = f"{facts.metric} chooses the epoch; higher is better."
    return Figure("Validation", chart, note, table)
