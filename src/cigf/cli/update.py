"""cigf update."""

from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from cigf.cli.log_options import Log, reads_log
from cigf.cli.options import Device, Force, Json, Out, RunArgument
from cigf.cli.output import print_json, print_next, print_table, say


@reads_log
def update(
    run: RunArgument,
    out: Out,
    epochs: Annotated[int, typer.Option(min=1, help="How long training goes on.")] = 5,
    dataset: Annotated[
        Path | None, typer.Option(help="Dataset of the run.", show_default="where it was")
    ] = None,
    *,
    log: Log,
    bootstrap: Annotated[
        int, typer.Option(min=0, help="Resamplings for the interval of the difference; 0: none.")
    ] = 1000,
    device: Device = "auto",
    force: Force = False,
    json: Json = False,
) -> None:
    """Add later events to a run: grow it, train on for a few epochs, say if that was worth it.

    The run is only read; the new one appears when it is complete. With --force it may take the
    old one's place. Example: cigf update RUN today.csv --out RUN2
    """
    from cigf.cli.progress import TrainingProgress
    from cigf.data.options import ReadOptions
    from cigf.experiment.updating import update_run

    with closing(TrainingProgress("none")) as progress:
        result = update_run(
            run,
            log.sources,
            out,
            ReadOptions.parse(log.options),
            dataset=dataset,
            epochs=epochs,
            device=device,
            n_bootstrap=bootstrap,
            force=force,
            listener=progress,
        )
    if json:
        print_json({"run": str(out), **result})
    else:
        print_update(result)
    say(f"Wrote {out}")
    print_next(f"cigf report {out} --out report.html", f"cigf serve {out}")


def print_update(result: dict[str, Any]) -> None:
    """Print what was new, and old and new model on the same held-out pairs."""
    new = result["new"]
    counts = ", ".join(f"{n:,} {name}" for name, n in new["pairs"].items())
    say(f"New pairs: {counts}; new users: {new['users']:,}, new items: {new['items']:,}")
    if not result["audiences"]:
        say("Nothing could be held out, so the models were not compared.")
        return
    for audience, found in result["audiences"].items():
        rows = [
            (f"{group} ({n:,})", name.replace("_", " "), *metrics[group].values())
            for group, n in found["n"].items()
            for name, metrics in found["metrics"].items()
            if n
        ]
        print_table(("pairs", "scorer", "hr@10", "ndcg@10"), rows, title=f"{audience}, full")
        difference = found["difference"]
        if difference is not None:
            say(
                f"{audience}: after less {difference['against']}: {difference['mean']:+.4f} "
                f"{difference['metric']} ({difference['low']:+.4f} to {difference['high']:+.4f})"
            )
    say(result["protocol"])
