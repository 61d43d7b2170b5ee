"""Charts of a page: lines over epochs, values with intervals, bars. Plain numbers in, SVG out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cigf.reports.svg import (
    N_SERIES,
    WIDTH,
    Number,
    document,
    line,
    log_ticks,
    marker,
    scale,
    short,
    text,
    ticks,
)

Point = tuple[Number, Number]

_LEFT, _RIGHT, _TOP, _HEIGHT = 46, 14, 10, 194
_BOTTOM = 36
_LABELS = 118
"""Width of the labels on the left of rows."""
_CHARACTERS = 18
"""How many characters of a label fit there."""


@dataclass(frozen=True)
class Chart:
    """A drawn chart.

    Args:
        svg: The picture, with its alternative text.
        legend: Names of the series in their order; empty where there is one alone.
        lines: Whether the series are lines (else markers or bars), for the legend's keys.
    """

    svg: str
    legend: tuple[str, ...] = ()
    lines: bool = False

    def legend_keys(self) -> list[tuple[str, str]]:
        """Return name and key (a small SVG) of each entry of the legend."""
        found = []
        for number, name in enumerate(self.legend):
            body = (
                line(0, 7, 24, 7, f"s{number % N_SERIES} line")
                if self.lines
                else marker(12, 7, number)
            )
            found.append((name, f'<svg viewBox="0 0 24 14" aria-hidden="true">{body}</svg>'))
        return found


@dataclass(frozen=True)
class Series:
    """One line: points in the order of x; y must be finite."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Value:
    """A value with its interval, where it has one."""

    value: Number
    low: Number | None = None
    high: Number | None = None


@dataclass(frozen=True)
class Row:
    """A labeled row of values, one per series; None where a series has none."""

    label: str
    values: Sequence[Value | None]


def line_chart(
    series: Sequence[Series],
    *,
    alt: str,
    x_label: str,
    mark: Number | None = None,
    mark_label: str = "",
    log_x: bool = False,
    from_zero: bool = False,
) -> Chart:
    """Draw lines; a line of one point is drawn as a marker.

    Args:
        series: At least one, each with at least one point.
        alt: What the chart shows, for those who cannot see it.
        x_label: What x is.
        mark: An x to mark by a vertical line.
        mark_label: What that is.
        log_x: Draw x, all positive, on a logarithmic scale.
        from_zero: Begin the y axis at 0.
    """
    xs = [x for each in series for x, _ in each.points]
    ys = [y for each in series for _, y in each.points]
    low, high = (min(0.0, min(ys)) if from_zero else min(ys)), max(ys)
    frame = _Frame(min(xs), max(xs), low, high, log_x, _TOP if mark is None else _TOP + 14)
    parts = [frame.axes(x_label)]
    if mark is not None:
        x = frame.x(mark)
        parts += [line(x, _TOP + 12, x, _HEIGHT - _BOTTOM, "rule")]
        parts += [text(x, _TOP + 8, mark_label, "middle", "label")]
    for number, each in enumerate(series):
        places = [(frame.x(x), frame.y(y)) for x, y in each.points]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{points}" class="s{number % N_SERIES} line"/>')
        if len(places) == 1:
            parts.append(marker(*places[0], number))
    names = tuple(each.name for each in series) if len(series) > 1 else ()
    return Chart(document("".join(parts), _HEIGHT, alt), names, lines=True)


@dataclass(frozen=True)
class _Frame:
    """The axes of a line chart."""

    x_low: Number
    x_high: Number
    y_low: Number
    y_high: Number
    log_x: bool
    top: Number

    def x(self, value: Number) -> float:
        ends = (self.x_low, self.x_high, value)
        low, high, at = map(math.log10, ends) if self.log_x else ends
        return scale(at, low, high, _LEFT, WIDTH - _RIGHT)

    def y(self, value: Number) -> float:
        return scale(value, self.y_low, self.y_high, _HEIGHT - _BOTTOM, self.top)

    def axes(self, x_label: str) -> str:
        bottom, right = _HEIGHT - _BOTTOM, WIDTH - _RIGHT
        parts = []
        for value in ticks(self.y_low, self.y_high):
            y = self.y(value)
            parts += [line(_LEFT, y, right, y, "grid"), text(_LEFT - 5, y + 4, short(value), "end")]
        at = log_ticks(self.x_low, self.x_high) if self.log_x else ticks(self.x_low, self.x_high, 5)
        parts += [text(self.x(value), bottom + 15, short(value), "middle") for value in at]
        parts += [line(_LEFT, bottom, right, bottom, "axis")]
        parts += [text((_LEFT + right) / 2, _HEIGHT - 5, x_label, "middle", "label")]
        return "".join(parts)


def value_chart(
    rows: Sequence[Row], series: Sequence[str], *, alt: str, x_label: str, zero: bool = True
) -> Chart:
    """Draw a marker per row and series, with its interval as a whisker.

    Args:
        rows: From top to bottom.
        series: Names, in the order of each row's values.
        alt: What the chart shows, for those who cannot see it.
        x_label: What the values are.
        zero: Begin the axis at 0.
    """
    shown = [value for row in rows for value in row.values if value is not None]
    high = max([each.value if each.high is None else each.high for each in shown], default=1.0)
    low = min([each.value if each.low is None else each.low for each in shown], default=0.0)
    low = min(0.0, low) if zero else low
    row_height = 12 * len(series) + 14
    bottom = _TOP + row_height * len(rows)

    def x(value: Number) -> float:
        return scale(value, low, high, _LABELS, WIDTH - _RIGHT)

    parts = [_value_axis(low, high, bottom, x_label)]
    for number, row in enumerate(rows):
        top = _TOP + number * row_height
        if number:
            parts.append(line(0, top, WIDTH - _RIGHT, top, "grid"))
        parts.append(text(0, top + row_height / 2 + 4, _fit(row.label)))
        for place, value in enumerate(row.values):
            if value is None:
                continue
            y = top + 13 + 12 * place
            if value.low is not None and value.high is not None:
                kind = f"s{place % N_SERIES} whisker"
                parts.append(line(x(value.low), y, x(value.high), y, kind))
            parts.append(marker(x(value.value), y, place))
    names = tuple(series) if len(series) > 1 else ()
    return Chart(document("".join(parts), bottom + _BOTTOM, alt), names)


def bar_chart(rows: Sequence[Row], series: Sequence[str], *, alt: str, x_label: str) -> Chart:
    """Draw a bar from 0 per row and series, with its value beside it; see `value_chart`."""
    shown = [value.value for row in rows for value in row.values if value is not None]
    high = max([*shown, 0.0]) or 1.0
    row_height = 14 * len(series) + 8
    bottom = _TOP + row_height * len(rows)
    right = WIDTH - 48  # room for the value of the longest bar
    parts = []
    for number, row in enumerate(rows):
        top = _TOP + number * row_height
        parts.append(text(0, top + row_height / 2 + 2, _fit(row.label)))
        for place, value in enumerate(row.values):
            if value is None:
                continue
            y = top + 3 + 14 * place
            width = scale(max(value.value, 0.0), 0, high, 0, right - _LABELS)
            kind = f"s{place % N_SERIES} bar"
            parts.append(
                f'<rect x="{_LABELS}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="11" '
                f'class="{kind}"/>'
            )
            parts.append(text(_LABELS + width + 4, y + 10, short(value.value)))
    parts.append(line(_LABELS, _TOP, _LABELS, bottom, "axis"))
    parts.append(text((_LABELS + right) / 2, bottom + 16, x_label, "middle", "label"))
    names = tuple(series) if len(series) > 1 else ()
    return Chart(document("".join(parts), bottom + 22, alt), names)


def _value_axis(low: Number, high: Number, bottom: Number, x_label: str) -> str:
    right = WIDTH - _RIGHT
    parts = []
    for value in ticks(low, high):
        x = scale(value, low, high, _LABELS, right)
        parts += [line(x, _TOP, x, bottom, "grid"), text(x, bottom + 14, short(value), "middle")]
    parts += [line(_LABELS, bottom, right, bottom, "axis")]
    parts += [text((_LABELS + right) / 2, bottom + 31, x_label, "middle", "label")]
    return "".join(parts)


def _fit(label: str) -> str:
    return label if len(label) <= _CHARACTERS else f"{label[: _CHARACTERS - 1]}…"
