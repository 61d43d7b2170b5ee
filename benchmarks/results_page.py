"""Put the tables of comparisons into a page: python -m benchmarks.results_page PAGE NAME=FOLDER...

FOLDER is what `cigf compare` wrote; its tables replace what stands in the page between the lines
`<!-- NAME -->` and `<!-- end of NAME -->`. Runs that have not ended yet are left out of the means,
and the last column says how many there are, so the page can be made again whenever more have.
"""

import argparse
import sys
from pathlib import Path

from cigf.experiment.comparing import open_comparison, read_comparison
from cigf.experiment.comparison_report import comparison_report
from cigf.reports.comparison import PROTOCOLS, cost_table, quality_table
from cigf.reports.texts import to_markdown
from cigf.storage import new_file


def tables(folder: Path) -> str:
    """Return the tables of quality and cost of a comparison as Markdown."""
    dataset = Path(read_comparison(folder)["dataset"])
    report = comparison_report(open_comparison(dataset, folder), n_bootstrap=1)
    shown = [*(quality_table(report, protocol) for protocol in PROTOCOLS), cost_table(report)]
    return "\n".join(map(to_markdown, shown))


def replaced(text: str, name: str, tables: str) -> str:
    """Return a page with other tables between the marks of a name.

    Raises:
        SystemExit: The page does not have both marks, in this order.
    """
    marks = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, found, rest = text.partition(marks[0])
    _, ended, after = rest.partition(marks[1])
    if not (found and ended):
        raise SystemExit(f"the page has no place for {name!r}: lines {marks[0]!r} to {marks[1]!r}")
    return f"{before}{marks[0]}\n{tables}\n{marks[1]}{after}"


def main(arguments: list[str] | None = None) -> None:
    """Change a page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.results_page", usage=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("comparisons", nargs="+", metavar="NAME=FOLDER")
    options = parser.parse_args(arguments)
    text = options.page.read_text(encoding="utf-8")
    for comparison in options.comparisons:
        name, _, folder = comparison.partition("=")
        text = replaced(text, name, tables(Path(folder)))
    with new_file(options.page) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
