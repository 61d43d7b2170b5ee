"""Small line charts as inline SVG: no library, no script, readable in any browser."""

from collections.abc import Sequence
from html import escape

Point = tuple[int | float, int | float]

_WIDTH, _HEIGHT = 420, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 28, 30


def line_chart(points: Sequence[Point], *, title: str, x_label: str) -> str:
    """Return a chart of one line; fewer than two points are drawn as dots.

    Args:
        points: (x, y) in the order of x; y must be finite.
        title: What y is.
        x_label: What x is.
    """
    xs, ys = [x for x, _ in points], [y for _, y in points]
    places = [
        (_scale(x, xs, _LEFT, _WIDTH - _RIGHT), _scale(y, ys, _HEIGHT - _BOTTOM, _TOP))
        for x, y in points
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in places)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">'
        f'<text x="{_LEFT}" y="16" class="title">{escape(title)}</text>'
        f"{_axes(xs, ys, x_label)}"
        f'<polyline points="{line}" fill="none"/>{dots}</svg>'
    )


def _scale(value: int | float, values: Sequence[int | float], start: int, stop: int) -> float:
    """Map the range of `values` to start..stop; a range of one value to its middle."""
    low, high = min(values), max(values)
    share = 0.5 if high == low else (value - low) / (high - low)
    return start + share * (stop - start)


def _axes(xs: Sequence[int | float], ys: Sequence[int | float], x_label: str) -> str:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    frame = f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" class="axis"/>'
    texts = [
        (_LEFT - 6, _TOP + 4, "end", f"{max(ys):.3g}" if ys else ""),
        (_LEFT - 6, bottom + 4, "end", f"{min(ys):.3g}" if ys else ""),
        (_LEFT, _HEIGHT - 12, "start", f"{min(xs):g}" if xs else ""),
        (right, _HEIGHT - 12, "end", f"{max(xs):g}" if xs else ""),
        ((_LEFT + right) / 2, _HEIGHT - 12, "middle", escape(x_label)),
    ]
    return frame + "".join(
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{text}</text>'
        for x, y, anchor, text in texts
    )
