"""Plots: one description, drawn by matplotlib for files and as a small SVG for pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cigf.reports import charts
from cigf.reports.page import Figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


@dataclass(frozen=True)
class Curve:
    """Values at the places of a plot.

    Args:
        name: For the legend.
        values: One per place; None where there is none.
        spreads: Standard deviation of each value; empty for none.
    """

    name: str
    values: Sequence[float | None]
    spreads: Sequence[float | None] = ()


@dataclass(frozen=True)
class Plot:
    """Curves over common places.

    Args:
        name: Of its files.
        title: What it shows.
        x_label: What the places are.
        y_label: What the values are, with their unit.
        places: Names or numbers along the axis.
        curves: At least one.
        lines: Whether the places are numbers along which lines go; else markers side by side.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    places: Sequence[str | int]
    curves: Sequence[Curve]
    lines: bool = False

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing to be seen."""
        return all(value is None for curve in self.curves for value in curve.values)


def page_figure(plot: Plot) -> Figure:
    """Return the plot for a page."""
    if plot.lines:
        series = [
            charts.Series(curve.name, [(x, y) for x, y in _known(plot, curve)])
            for curve in plot.curves
            if any(value is not None for value in curve.values)
        ]
        chart = charts.line_chart(series, alt=f"{plot.title}.", x_label=plot.x_label)
        return Figure(f"{plot.title}: {plot.y_label}", chart)
    rows = [
        charts.Row(str(place), [_value(curve, number) for curve in plot.curves])
        for number, place in enumerate(plot.places)
    ]
    names = [curve.name for curve in plot.curves]
    chart = charts.value_chart(rows, names, alt=f"{plot.title}.", x_label=plot.y_label)
    return Figure(plot.title, chart)


def _known(plot: Plot, curve: Curve) -> list[tuple[int, float]]:
    pairs = zip(plot.places, curve.values, strict=True)
    return [(int(place), value) for place, value in pairs if value is not None]


def _value(curve: Curve, number: int) -> charts.Value | None:
    value = curve.values[number]
    spread = curve.spreads[number] if curve.spreads else None
    if value is None or spread is None:
        return None if value is None else charts.Value(value)
    return charts.Value(value, value - spread, value + spread)


def draw(plot: Plot) -> "Drawing":
    """Draw the plot by matplotlib.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    from cigf.reports.figures import COLORS, DASHES, MARKERS, new_axes

    width = 6.4 if plot.lines else max(6.4, 0.9 * len(plot.places) + 2.0)
    figure, axes = new_axes(width)
    n_curves = len(plot.curves)
    for number, curve in enumerate(plot.curves):
        shift = 0.0 if plot.lines else 0.6 * ((number + 0.5) / n_curves - 0.5)
        starts = [int(place) for place in plot.places] if plot.lines else range(len(plot.places))
        shown = [
            (start + shift, value, (curve.spreads[place] if curve.spreads else None) or 0.0)
            for place, (start, value) in enumerate(zip(starts, curve.values, strict=True))
            if value is not None
        ]
        if not shown:
            continue
        xs, ys, spreads = zip(*shown, strict=True)
        axes.errorbar(
            xs,
            ys,
            yerr=spreads if any(spreads) else None,
            color=COLORS[number % len(COLORS)],
            linestyle=DASHES[number % len(DASHES)] if plot.lines else "none",
            marker=MARKERS[number % len(MARKERS)],
            capsize=3,
            label=curve.name,
        )
    if not plot.lines:
        turned = 30 if max(len(str(place)) for place in plot.places) > 8 else 0
        side = "right" if turned else "center"
        axes.set_xticks(
            range(len(plot.places)), [str(p) for p in plot.places], rotation=turned, ha=side
        )
    else:
        axes.set_xticks([int(place) for place in plot.places])
    axes.set_xlabel(plot.x_label)
    axes.set_ylabel(plot.y_label)
    axes.set_title(plot.title)
    axes.grid(alpha=0.3)
    if len(axes.containers) > 1:
        axes.legend()
    return figure
