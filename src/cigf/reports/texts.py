"""Tables as Markdown and as LaTeX, from the same `Table` that pages are made of."""

import re
from collections.abc import Iterable

from cigf.reports.page import Strong, Table, cell_text

_LATEX = {
    "\\": r"\textbackslash{}",
    "±": r"$\pm$",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: rf"\{sign}" for sign in "&%$#_{}"},
}


def to_markdown(table: Table) -> str:
    """Return a table in GitHub's Markdown, its caption above it."""
    lines = [f"**{_plain(table.caption)}**", "", _row(map(_plain, table.header))]
    aligned = ["---:" if table.is_number(n) else "---" for n in range(len(table.header))]
    lines.append(_row(aligned))
    for row in table.rows:
        cells = [
            f"**{_plain(value)}**" if isinstance(value, Strong) else _plain(cell_text(value))
            for value in row
        ]
        lines.append(_row(cells))
    return "\n".join(lines) + "\n"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(words: str) -> str:
    """Keep what would be read as markup or as the next column."""
    return re.sub(r"([|*_<`\\])", r"\\\1", words)


def to_latex(table: Table, label: str) -> str:
    """Return a table for LaTeX; it needs the package booktabs.

    Args:
        table: The table.
        label: What it is referred to by.
    """
    columns = "".join("r" if table.is_number(n) else "l" for n in range(len(table.header)))
    lines = [
        r"\begin{table}",
        rf"\caption{{{_escape(table.caption)}}}",
        rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _latex_row(map(_escape, table.header)),
        r"\midrule",
    ]
    for row in table.rows:
        cells = []
        for value in row:
            words = _escape(cell_text(value))
            cells.append(rf"\textbf{{{words}}}" if isinstance(value, Strong) else words)
        lines.append(_latex_row(cells))
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _latex_row(cells: Iterable[str]) -> str:
    return rf"{' & '.join(cells)} \\"


def _escape(words: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in words)
