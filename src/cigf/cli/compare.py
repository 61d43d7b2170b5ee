"""cigf compare."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cigf.cli.options import DatasetArgument, Device, Json, Out, words
from cigf.cli.output import print_json, print_table, say
from cigf.errors import ConfigError, InterruptedRunError

if TYPE_CHECKING:
    from cigf.experiment.comparing import Comparison
    from cigf.reports.comparison import Report

Seeds = Annotated[int, typer.Option(min=1, help="How many seeds, from 0.")]
Jobs = Annotated[
    int | None,
    typer.Option(
        min=1, help="Most processes at a time.", show_default="as many as cores and memory allow"
    ),
]


def compare(
    dataset: DatasetArgument,
    out: Out,
    models: Annotated[
        str | None,
        typer.Option(metavar="A,B,C", help="Which models.", show_default="those --out has"),
    ] = None,
    seeds: Seeds = 5,
    config: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE.toml|FOLDER",
            help="Experiment file of one of the models, or a folder with NAME.toml for each; "
            "repeatable.",
            show_default="each model's own settings",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="SECTION.KEY=VALUE", help="Override one option of all; repeatable."
        ),
    ] = None,
    jobs: Jobs = None,
    device: Device = "auto",
    only_report: Annotated[
        bool, typer.Option("--only-report", help="Train nothing; report on what --out holds.")
    ] = False,
    json: Json = False,
) -> None:
    """Train models with several seeds and compare them, beside the rules that learn nothing.

    Each run is a process of its own, in a folder under --out. Stopped at any moment, the same
    command goes on. Ends with report.html, report.md, report.tex and CSV files.

    Example: cigf compare DATASET --models cigf,lightgcn --seeds 5 --out COMPARISON
    """
    from cigf.experiment.comparing import Comparison, open_comparison
    from cigf.experiment.entries import read_entries
    from cigf.experiment.lock import only_one

    if not only_report and models is None:
        raise ConfigError("give --models A,B,C to compare, or --only-report")
    if only_report and (models or config or settings):
        raise ConfigError("--only-report reports on what --out holds; give it no models or options")
    if only_report:
        comparison = open_comparison(dataset, out)
    else:
        entries = read_entries(words(models) or (), config or [], settings or [])
        comparison = Comparison(dataset, out, entries, range(seeds))
    with only_one(out):
        jobs = None if only_report else run_comparison(comparison, jobs, device, again(out))
        report = write(comparison, jobs)
    if json:
        print_json(_values(report))
    else:
        print_report(report)
    for name in ("report.html", "report.md", "report.tex", "results.csv", "tests.csv", "costs.csv"):
        say(f"Wrote {out / name}")
    if failed := [row.name for row in report.rows if row.remark]:
        say(f"Note: not all runs of {', '.join(failed)} finished; the same command tries again")


def again(out: Path) -> str:
    """Return how to continue what was stopped."""
    return f"Go on with the same command; what is finished in {out} is kept"


def run_comparison(comparison: "Comparison", jobs: int | None, device: str, go_on: str) -> int:
    """Run what is not finished, and show how it goes; return the processes at a time.

    Raises:
        InterruptedRunError: Ctrl-C; all processes are stopped.
    """
    from cigf.cli.comparison_progress import ComparisonProgress
    from cigf.experiment.cell_process import start_processes
    from cigf.experiment.devices import choose_device

    chosen = str(choose_device(device))
    start, at_once = start_processes(comparison.dataset, chosen, jobs)
    with closing(ComparisonProgress()) as progress:
        try:
            comparison.rank_rules()
            comparison.run(start, jobs=at_once, watcher=progress)
        except KeyboardInterrupt:
            raise InterruptedRunError(
                f"stopped with {progress.n_done} of {progress.n_cells} runs finished, the others "
                f"at their last checkpoints. {go_on}"
            ) from None
    return at_once


def write(comparison: "Comparison", jobs: int | None) -> "Report":
    """Measure, test and write the files of the report."""
    from cigf.experiment.comparison_report import comparison_report
    from cigf.reports.comparison import write_report

    report = comparison_report(comparison, jobs=jobs)
    write_report(report, comparison.out)
    return report


def print_report(report: "Report") -> None:
    """Print the tables of quality and cost."""
    from cigf.reports.comparison import PROTOCOLS, cost_table, quality_table

    for table in (*(quality_table(report, name) for name in PROTOCOLS), cost_table(report)):
        print_table(table.header, table.rows, title=table.caption)


def _values(report: "Report") -> dict[str, Any]:
    from cigf.reports.comparison import costs_frame, difference_frame, results_frame

    return {
        "results": results_frame(report).to_dicts(),
        "tests": difference_frame(report).to_dicts(),
        "costs": costs_frame(report).to_dicts(),
        "facts": dict(report.facts),
    }
