"""One self-contained HTML page from headings, texts, tables and charts: the shell of all reports.

A page needs no network and no script. It has one main heading, a link that skips to the content, a
list of its sections, tables with captions and headers that scroll by keyboard where they are
wide, charts with alternative texts, and a light and a dark scheme; it prints.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cigf.reports.charts import Chart
from cigf.storage import new_file

_NUMBER = re.compile(r"(< )?[-+]?[\d,.]+( %)?( ± [\d.]+)?( to [-+]?[\d.]+)?( \[[-\d., ]+\])?")
"""Perhaps a bound, with a unit, a deviation or an interval."""

Cell = str | int | float | None
"""Texts stand on the left, numbers on the right; None is an empty cell."""


class Strong(str):
    """A cell that stands out, such as the best of its column."""


@dataclass(frozen=True)
class Text:
    """A paragraph.

    Args:
        text: The words.
        is_note: Whether it is small print.
    """

    text: str
    is_note: bool = False
    kind: str = field(default="text", init=False)


@dataclass(frozen=True)
class Table:
    """A table; the first cell of a row is its header.

    Args:
        caption: What it holds.
        header: Names of the columns.
        rows: The cells.
        marked: Numbers of rows that stand out.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    marked: Sequence[int] = ()
    kind: str = field(default="table", init=False)

    def is_number(self, column: int) -> bool:
        """Tell whether a column, not the first, holds numbers only, as such or as text."""
        cells = [row[column] for row in self.rows if row[column] not in (None, "")]
        return (
            column > 0 and bool(cells) and all(_NUMBER.fullmatch(cell_text(each)) for each in cells)
        )


@dataclass(frozen=True)
class Figure:
    """A chart.

    Args:
        title: What it shows.
        chart: The picture.
        note: What to see in it.
        table: Its numbers, to be opened.
    """

    title: str
    chart: Chart
    note: str = ""
    table: Table | None = None
    kind: str = field(default="figure", init=False)


@dataclass(frozen=True)
class Figures:
    """Charts beside each other, where there is room."""

    figures: Sequence[Figure]
    kind: str = field(default="figures", init=False)


@dataclass(frozen=True)
class Cards:
    """A few key figures: (what, figure, remark)."""

    cards: Sequence[tuple[str, str, str]]
    kind: str = field(default="cards", init=False)


@dataclass(frozen=True)
class Cautions:
    """What to be careful about: (heading, text); an empty list says that nothing was found."""

    cautions: Sequence[tuple[str, str]]
    nothing: str = "Nothing that stands out was found."
    kind: str = field(default="cautions", init=False)


@dataclass(frozen=True)
class Lists:
    """Lists of one subject, such as a user: a heading, and name -> entries.

    Args:
        title: The subject.
        note: What to know of it.
        lists: Name of each list -> its entries, each a text and a remark ("" for none).
    """

    title: str
    note: str
    lists: Mapping[str, Sequence[tuple[str, str]]]
    kind: str = field(default="lists", init=False)


@dataclass(frozen=True)
class Details:
    """Blocks that are shown when opened."""

    summary: str
    blocks: Sequence["Block"]
    kind: str = field(default="details", init=False)


Block = Text | Table | Figure | Figures | Cards | Cautions | Lists | Details


@dataclass(frozen=True)
class Section:
    """A part of a page, with a heading of the second level.

    Args:
        id: Its anchor: letters and hyphens.
        title: Its heading.
        blocks: What it holds.
    """

    id: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    """A whole page.

    Args:
        title: Its heading.
        lead: The sentences under it: the answer in words.
        blocks: What stands before the first section, such as `Cards`.
        sections: The parts.
        footer: The last line, such as versions.
    """

    title: str
    lead: str
    sections: Sequence[Section]
    blocks: Sequence[Block] = ()
    footer: str = ""


def render(page: Page) -> str:
    """Return a page as HTML."""
    return _environment().get_template("page.html").render(page=page)


def write_page(page: Page, path: Path, *, force: bool = True) -> None:
    """Write a page as one file.

    Raises:
        OutputError: `path` exists and `force` is off, or it cannot be written.
    """
    with new_file(path, force=force) as temporary:
        temporary.write_text(render(page), encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("cigf.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(cell=_cell, picture=Markup, breakable=_breakable)
    return environment


def cell_text(value: Cell) -> str:
    """Write a cell: thousands apart, fractions with three digits."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _cell(value: Cell) -> str:
    words = cell_text(value)
    return Markup("<strong>{}</strong>").format(words) if isinstance(value, Strong) else words


def _breakable(words: str) -> Markup:
    """Allow a long id or path to be broken after its separators."""
    safe = escape(words)
    for sign in ("/", "_", "-", "."):
        safe = safe.replace(sign, f"{sign}<wbr>")
    return Markup(safe)
