"""How a freshly made dataset is summed up; shared by prepare, import and fetch."""

from pathlib import Path

from cigf.cli.output import print_json, print_next, print_table, say, warn_all
from cigf.data.prepare import PrepareReport


def print_prepared(out: Path, report: PrepareReport, as_json: bool) -> None:
    """Print what a dataset holds; on stderr what was left out of it, and what to type next."""
    warn_all(report.warnings, report.dropped)
    if as_json:
        print_json({"dataset": str(out), **report.to_json()})
        return
    print_counts(out, report)
    say(f"Wrote {out}")
    print_next(f"cigf train {out} --out RUN", f"cigf data describe {out}")


def print_counts(out: Path, report: PrepareReport) -> None:
    """Print what a dataset holds, and on stderr how it was split."""
    rows = [
        (name, count, report.n_valid.get(name, 0), report.n_test.get(name, 0))
        for name, count in report.n_pairs.items()
    ]
    title = f"{out}: {report.n_users:,} users, {report.n_items:,} items"
    print_table(("behavior", "pairs", "validation", "test"), rows, title=title)
    say(f"Split: {report.split}")
