"""cigf reproduce."""

from pathlib import Path
from typing import Annotated

import typer

import cigf
from cigf.cli.compare import Jobs, again, run_comparison
from cigf.cli.options import Device, Out
from cigf.cli.output import print_table, say

MATCHED = Path(cigf.__file__).parents[2] / "experiments" / "matched"
"""In a checkout; not part of an installed package."""

QUICK_EPOCHS = 5


def reproduce(
    experiments: Annotated[
        list[str],
        typer.Argument(
            metavar="EXPERIMENT...",
            help="table-2, table-3, table-4, table-5, table-6, tables-7-8, figure-2, figure-6, "
            "figure-7, figure-8, figure-9, figure-10, gradient-conflicts or all.",
            show_default=False,
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(metavar="DATASET", help="Folder written by cigf data.", show_default=False),
    ],
    out: Out,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="How many seeds, from 0.", show_default="5")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Most epochs of every model.", show_default="each model's"),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help=f"One seed, {QUICK_EPOCHS} epochs: to see that it works."),
    ] = False,
    config: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE.toml|FOLDER",
            help="Experiment file of one of the models, or a folder of them; repeatable.",
            show_default="experiments/matched of the checkout, else each model's own",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="SECTION.KEY=VALUE",
            help="Override one option: of CIGF in [model], else of all models; repeatable.",
        ),
    ] = None,
    jobs: Jobs = None,
    device: Device = "auto",
    only_report: Annotated[
        bool, typer.Option("--only-report", help="Train nothing; report on what --out holds.")
    ] = False,
) -> None:
    """Make tables and figures of the paper again, on any dataset (extra: report).

    Runs are shared by the experiments that need them, side by side as in cigf compare, and kept:
    stopped at any moment, the same command goes on. Ends with one page that says what differs from
    the paper, and a folder of CSV, SVG and PNG files per experiment.

    Example: cigf reproduce table-3 figure-7 --data DATASET --out REPRODUCTION
    """
    from cigf.experiment.experiments import choose
    from cigf.experiment.lock import only_one
    from cigf.experiment.reproducing import plan
    from cigf.experiment.reproducing import reproduce as make
    from cigf.reports.reproduction import write_reproduction

    chosen = choose(experiments)
    from cigf.reports import figures  # noqa: F401  (refused before anything is trained)

    files = config or ([MATCHED] if MATCHED.is_dir() else [])
    overrides = list(settings or [])
    most = epochs or (QUICK_EPOCHS if quick else None)
    if most is not None:
        overrides.append(f"training.epochs={most}")
    n_seeds = seeds or (1 if quick else 5)
    made = plan(chosen, data, out, n_seeds=n_seeds, configs=files, settings=overrides)
    with only_one(out):
        go_on = again(out)
        at_once = None if only_report else run_comparison(made.comparison, jobs, device, go_on)
        found = make(made, jobs=at_once)
        write_reproduction(found, out)
    for part in found.parts:
        for table in part.tables:
            print_table(table.header, table.rows, title=f"{part.title}: {table.caption}")
    for heading, words in found.deviations:
        say(f"{heading} {words}")
    say(f"Wrote {out / 'report.html'}, {out / 'report.md'}")
    for part in found.parts:
        say(f"Wrote {out / part.name}")
