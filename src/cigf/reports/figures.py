"""Figures of a dataset's description, by matplotlib (the extra `report`).

Nothing here touches pyplot or its global state: a function takes tables and returns a `Figure`.
Colors are Okabe and Ito's, which people with any color vision tell apart; lines also differ in
their dashes.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from cigf.data.describe import Description
from cigf.errors import MissingExtraError
from cigf.storage import new_file

try:
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import StrMethodFormatter
except ImportError:
    raise MissingExtraError("matplotlib", "report", "drawing figures") from None

COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GRAY = "#BBBBBB"
PLAIN_NUMBERS = StrMethodFormatter("{x:,.0f}")
"""Ticks of log scales as 1,000 instead of powers of ten."""
FORMATS = ("svg", "png")
MAX_SUBSETS = 15
"""Bars of the overlap figure; the smaller subsets are left out, and the title says so."""


def new_axes(width: float = 6.4, height: float = 4.0) -> tuple[Figure, Axes]:
    """Return an empty figure with one open frame."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    _open_frame(axes)
    return figure, axes


def draw_activity(description: Description) -> Figure:
    """Draw, per behavior, the share of users with at least so many interactions (figure 2)."""
    figure, axes = new_axes()
    for index, name in enumerate(description.behavior_names):
        counts, shares = _at_least(description.activity, name)
        color, dashes = COLORS[index % len(COLORS)], DASHES[index % len(DASHES)]
        axes.step(counts, shares, dashes, where="post", color=color, label=name, linewidth=1.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(PLAIN_NUMBERS)
    axes.set_ylim(0, 100)
    axes.set_xlabel("interactions per user (items, log scale)")
    axes.set_ylabel("users with at least that many (%)")
    axes.set_title(f"Activity of {description.n_users:,} users")
    axes.grid(alpha=0.3)
    axes.legend(title="behavior")
    return figure


def _at_least(activity: pl.DataFrame, behavior: str) -> tuple[list[int], list[float]]:
    """Return each number of interactions from 1 and the share (%) of users with that or more."""
    own = activity.filter(pl.col("behavior") == behavior).sort("n_interactions", descending=True)
    shares = 100 * own["n_users"].cum_sum() / max(own["n_users"].sum(), 1)
    table = pl.DataFrame({"count": own["n_interactions"], "share": shares}).reverse()
    table = table.filter(pl.col("count") > 0)
    if not table.height:
        return [1], [0.0]
    # A step holds until the next count, so the curve needs each count's own share up to there.
    counts = [1, *(count + 1 for count in table["count"])]
    return counts, [*table["share"], 0.0]


def draw_overlaps(description: Description) -> Figure:
    """Draw pairs and users per subset of behaviors, the subsets as dots below (figure 10)."""
    present = description.overlaps.filter(pl.col("n_pairs") > 0).sort("n_pairs", descending=True)
    shown = present.head(MAX_SUBSETS)
    names = description.behavior_names
    figure = Figure(figsize=(max(6.4, 0.75 * shown.height + 2), 5.2), layout="constrained")
    bars, dots = figure.subplots(
        2, 1, sharex=True, height_ratios=[4, max(1.0, 0.35 * len(names))], squeeze=True
    )
    _draw_bars(bars, shown)
    _draw_dots(dots, shown, names)
    left_out = present.height - shown.height
    title = "User-item pairs that have exactly these behaviors"
    bars.set_title(title + (f" ({left_out} smaller subsets not shown)" if left_out else ""))
    return figure


def _draw_bars(axes: Axes, shown: pl.DataFrame) -> None:
    places = np.arange(shown.height)
    for offset, column, label, color in [
        (-0.21, "n_pairs", "pairs", COLORS[0]),
        (0.21, "n_users", "users with such a pair", COLORS[1]),
    ]:
        drawn = axes.bar(places + offset, shown[column].to_numpy(), 0.4, color=color, label=label)
        labels = [_short(count) for count in shown[column]]
        axes.bar_label(drawn, labels=labels, fontsize=7, padding=1)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(PLAIN_NUMBERS)
    axes.set_ylim(bottom=0.8)
    axes.margins(y=0.12)
    axes.set_ylabel("number (log scale)")
    axes.legend()
    _open_frame(axes)


def _draw_dots(axes: Axes, shown: pl.DataFrame, names: Sequence[str]) -> None:
    for place, row in enumerate(shown.iter_rows(named=True)):
        inside = [level for level, name in enumerate(names) if row[name]]
        outside = [level for level in range(len(names)) if level not in inside]
        axes.plot([place] * len(inside), inside, "-", color="black", zorder=1)
        axes.scatter([place] * len(outside), outside, s=36, color=GRAY, zorder=2)
        axes.scatter([place] * len(inside), inside, s=36, color="black", zorder=2)
    axes.set_yticks(range(len(names)), labels=list(names))
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xticks([])
    axes.set_xlabel("subset of behaviors, most frequent first")
    for side in ("top", "right", "bottom", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(left=False)


def _short(count: int) -> str:
    """Write a count in few characters: 9500, 12.3k, 1.23M."""
    if count >= 1_000_000:
        return f"{count / 1_000_000:.3g}M"
    return f"{count / 1000:.3g}k" if count >= 10_000 else str(count)


def _open_frame(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def save_figure(figure: Figure, path: Path, *, force: bool = True) -> None:
    """Write a figure; the same figure gives the same bytes.

    Args:
        figure: What to write.
        path: Where; the suffix says how (.svg, .png, .pdf).
        force: Replace an existing file.

    Raises:
        OutputError: `path` exists and `force` is off, or it cannot be written.
    """
    metadata = {"Date": None} if path.suffix == ".svg" else None
    with (
        new_file(path, force=force) as temporary,
        # Without a fixed salt every SVG gets other ids; text stays text, so that it can be found.
        matplotlib.rc_context({"svg.hashsalt": "cigf", "svg.fonttype": "none"}),
    ):
        figure.savefig(temporary, dpi=150, metadata=metadata)


def save_description(
    description: Description, folder: Path, *, formats: Sequence[str] = FORMATS, force: bool = True
) -> list[Path]:
    """Draw and write all figures of a description; return what was written."""
    figures = {"activity": draw_activity(description), "overlaps": draw_overlaps(description)}
    written = []
    for name, figure in figures.items():
        for suffix in formats:
            path = folder / f"{name}.{suffix}"
            save_figure(figure, path, force=force)
            written.append(path)
    return written
