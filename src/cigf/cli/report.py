"""cigf report."""

from pathlib import Path
from typing import Annotated

import typer

from cigf.cli.options import Force, Out, RunArgument, Seed
from cigf.cli.output import say


def report(
    run: RunArgument,
    out: Out,
    dataset: Annotated[
        Path | None, typer.Option(help="Dataset of the run.", show_default="where it was")
    ] = None,
    examples: Annotated[
        int, typer.Option(min=0, help="Users to show with their history and lists.")
    ] = 4,
    bootstrap: Annotated[
        int, typer.Option(min=1, help="Resamplings for the 95 % intervals.")
    ] = 1000,
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Write one page about a run: what it is worth, for whom, how it came about, what to mind.

    The page opens from disk in any browser and loads nothing.
    Example: cigf report RUN --out report.html
    """
    from cigf.experiment.reporting import write_report
    from cigf.reports.cautions import cautions

    facts = write_report(
        run,
        out,
        dataset=dataset,
        n_users=examples,
        n_bootstrap=bootstrap,
        seed=seed,
        force=force,
    )
    for heading, _ in cautions(facts):
        say(f"Note: {heading}")
    say(f"Wrote {out}: open it in a browser")
