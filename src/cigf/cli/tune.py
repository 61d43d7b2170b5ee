"""cigf tune."""

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cigf.cli.options import DatasetArgument, Device, Json, Out, Seed
from cigf.cli.output import print_json, print_next, print_table, say
from cigf.errors import InterruptedRunError

if TYPE_CHECKING:
    from cigf.experiment.tuning import Tried

_SHOWN = 10


def tune(
    dataset: DatasetArgument,
    out: Out,
    space: Annotated[
        Path, typer.Option(metavar="FILE.toml", help="What is searched.", show_default=False)
    ],
    trials: Annotated[int, typer.Option(min=1, help="Trials in all, earlier ones included.")] = 50,
    pruner: Annotated[
        Literal["median", "hyperband", "none"],
        typer.Option(help="What stops hopeless trials early."),
    ] = "median",
    seed: Seed = 0,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Search for a model's best options on the validation pairs (extra: tune).

    Stopped at any moment, the same command goes on. The test pairs are not looked at.

    Example: cigf tune DATASET --space experiments/search/lightgcn.toml --trials 50 --out STUDY
    """
    from cigf.experiment.lock import only_one
    from cigf.experiment.tuning import tune as search

    def show(tried: "Tried", best: "Tried | None") -> None:
        figures = f"{tried.value:.4f}" if tried.value is not None else "-"
        so_far = f"best {best.value:.4f} ({best.number})" if best is not None else "best -"
        words = tried.error or _options(tried)
        say(
            f"trial {tried.number}: {tried.state}  {figures}  {so_far}  {tried.seconds:.1f} s  "
            f"{words}"
        )

    try:
        with only_one(out):
            found = search(
                dataset,
                space,
                out,
                n_trials=trials,
                seed=seed,
                pruner=pruner,
                device=device,
                on_trial=show,
            )
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"stopped; every finished trial is kept in {out}. Go on with the same command"
        ) from None
    complete = [each for each in found.trials if each.state == "complete"]
    complete.sort(key=lambda each: -(each.value or 0.0))
    if json:
        print_json(
            {
                "metric": found.metric,
                "best": found.best and {**vars(found.best), "options": dict(found.best.options)},
                "trials": [vars(each) for each in found.trials],
            }
        )
    else:
        rows = [
            (each.number, each.state, each.value, each.seconds, _options(each))
            for each in complete[:_SHOWN]
        ]
        header = ("trial", "state", found.metric, "s", "options")
        print_table(header, rows, title=f"{len(found.trials)} trials, the best first")
    if found.best is None:
        say("Note: no trial is complete; see trials.csv for why")
        return
    best = out / "best.toml"
    say(f"Wrote {best} and {out / 'trials.csv'}")
    print_next(f"cigf train {dataset} --out RUN --config {best}")


def _options(tried: "Tried") -> str:
    parts = [
        f"{name}={f'{value:.4g}' if isinstance(value, float) else json_module.dumps(value)}"
        for name, value in tried.options.items()
    ]
    return " ".join(parts)
