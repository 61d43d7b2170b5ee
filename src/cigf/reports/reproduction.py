"""The page and the files of a reproduction: tables and figures of the paper on other data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from cigf.reports.page import Block, Cautions, Figures, Page, Section, Table, Text, write_page
from cigf.reports.plots import Plot, draw, page_figure
from cigf.reports.texts import to_markdown
from cigf.storage import new_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

FORMATS = ("svg", "png")


@dataclass(frozen=True)
class Part:
    """A reproduced table or figure.

    Args:
        name: Its folder.
        title: Its heading.
        tables: What is shown of its numbers.
        frames: All numbers: name of a CSV file -> table.
        plots: Its plots.
        drawings: Further plots for files alone: name -> what draws it.
        notes: What differs from the paper.
    """

    name: str
    title: str
    tables: Sequence[Table]
    frames: Mapping[str, pl.DataFrame]
    plots: Sequence[Plot] = ()
    drawings: Mapping[str, Callable[[], "Drawing"]] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def drawn(self) -> list[Plot]:
        """Return the plots that show something."""
        return [plot for plot in self.plots if not plot.is_empty]


@dataclass(frozen=True)
class Reproduction:
    """All parts of one call.

    Args:
        data: The dataset's name.
        parts: In the order of the paper.
        protocol: Sentences on how everything was measured.
        deviations: What differs from the paper throughout: (heading, sentence).
        facts: Dataset, machine, versions.
    """

    data: str
    parts: Sequence[Part]
    protocol: Sequence[str]
    deviations: Sequence[tuple[str, str]]
    facts: Mapping[str, str]


def page(found: Reproduction) -> Page:
    """Return the page."""
    sections = []
    for part in found.parts:
        blocks: list[Block] = [*map(Text, part.notes), *part.tables]
        if plots := part.drawn():
            blocks.append(Figures([page_figure(plot) for plot in plots]))
        blocks.append(Text(f"All numbers: {', '.join(_files(part))}.", is_note=True))
        sections.append(Section(part.name, part.title, blocks))
    facts = Table("Facts", ["what", "value"], list(map(list, found.facts.items())))
    sections.append(Section("protocol", "Protocol", [*map(Text, found.protocol), facts]))
    deviations = Section("deviations", "Where this is not the paper", [Cautions(found.deviations)])
    lead = (
        f"{len(found.parts)} of the tables and figures of Guo et al. (WWW 2023), measured on "
        f"{found.data}. Read the deviations before you compare a figure with the paper's."
    )
    title = f"The paper's experiments on {found.data}"
    return Page(title, lead, [deviations, *sections])


def _files(part: Part) -> list[str]:
    drawn = [plot.name for plot in part.drawn()] + list(part.drawings)
    names = [f"{name}.csv" for name in part.frames]
    return names + [f"{name}.{suffix}" for name in drawn for suffix in FORMATS]


def to_text(found: Reproduction) -> str:
    """Return the page as Markdown."""
    shown = page(found)
    parts = [f"# {shown.title}\n", f"{shown.lead}\n", "## Where this is not the paper\n"]
    parts.append("".join(f"- **{heading}** {words}\n" for heading, words in found.deviations))
    for part in found.parts:
        parts += [f"## {part.title}\n", *(f"{note}\n" for note in part.notes)]
        parts += map(to_markdown, part.tables)
        parts += [f"![{plot.title}]({part.name}/{plot.name}.svg)\n" for plot in part.drawn()]
        parts += [f"![{name}]({part.name}/{name}.svg)\n" for name in part.drawings]
    parts += ["## Protocol\n", *(f"{words}\n" for words in found.protocol)]
    parts.append("".join(f"- {what}: {value}\n" for what, value in found.facts.items()))
    return "\n".join(parts)


def write_reproduction(found: Reproduction, out: Path) -> None:
    """Write the page, its Markdown, and the files of every part.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    from cigf.reports.figures import save_figure

    for part in found.parts:
        folder = out / part.name
        for name, frame in part.frames.items():
            with new_file(folder / f"{name}.csv") as temporary:
                frame.write_csv(temporary)
        drawings = {plot.name: draw(plot) for plot in part.drawn()}
        drawings |= {name: make() for name, make in part.drawings.items()}
        for name, figure in drawings.items():
            for suffix in FORMATS:
                save_figure(figure, folder / f"{name}.{suffix}")
    with new_file(out / "report.md") as temporary:
        temporary.write_text(to_text(found), encoding="utf-8")
    write_page(page(found), out / "report.html")
