"""The parts of small charts as inline SVG: scales, ticks, texts, markers; no library, no script.

Colors and dashes are classes (`s0` to `s5`) that the page's style sheet defines, so that a chart
follows the light and the dark scheme. Series differ in marker or dashes too, not in color alone.
"""

import math
from collections.abc import Sequence
from html import escape

WIDTH = 340
"""Units of every chart: about the pixels of a narrow telephone, where texts must stay legible."""
Number = int | float

N_SERIES = 6
"""Colors; a chart with more series begins again."""


def scale(value: Number, low: Number, high: Number, start: Number, stop: Number) -> float:
    """Map low..high to start..stop; a range of one value to its middle."""
    share = 0.5 if high == low else (value - low) / (high - low)
    return start + share * (stop - start)


def ticks(low: Number, high: Number, n: int = 5) -> list[Number]:
    """Return about n round numbers (1, 2 or 5 times a power of ten) between low and high."""
    if not high > low:
        return [low]
    raw = (high - low) / n
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def log_ticks(low: Number, high: Number) -> list[Number]:
    """Return the powers of ten between low and high, or the ends where there are fewer than two."""
    powers = [10.0**n for n in range(math.ceil(math.log10(low)), int(math.log10(high)) + 1)]
    return powers if len(powers) > 1 else sorted({low, high})


def short(value: Number) -> str:
    """Write a number in few characters: 0.031, 1.5, 950, 12.3k, 1.23M."""
    size = abs(value)
    if size >= 1_000_000:
        return f"{value / 1_000_000:.3g}M"
    if size >= 10_000:
        return f"{value / 1000:.3g}k"
    if size >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3f}".rstrip("0") if size < 1 else f"{value:.3g}"


def text(x: Number, y: Number, words: str, anchor: str = "start", kind: str = "") -> str:
    """Return a text element."""
    name = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{name}>{escape(words)}</text>'


def line(x1: Number, y1: Number, x2: Number, y2: Number, kind: str) -> str:
    """Return a line element."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def marker(x: Number, y: Number, series: int) -> str:
    """Return a series' marker: dot, square, triangle or diamond."""
    name = f'class="s{series % N_SERIES} mark"'
    shapes: Sequence[str] = (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" {name}/>',
        f'<rect x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7" {name}/>',
        f'<path d="M{x:.1f} {y - 4.5:.1f}l4.5 8h-9z" {name}/>',
        f'<path d="M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z" {name}/>',
    )
    return shapes[series % len(shapes)]


def document(body: str, height: Number, alt: str, width: Number = WIDTH) -> str:
    """Return the SVG element around a chart's parts; `alt` says what the chart shows."""
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(alt)}">'
        f"{body}</svg>"
    )
