"""cigf train."""

from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cigf.cli.options import DatasetArgument, Device, Force, Json, Out
from cigf.cli.output import print_json, print_next, say
from cigf.cli.ranks import team
from cigf.errors import InterruptedRunError
from cigf.training.events import Listener, Listeners


def train(
    dataset: DatasetArgument,
    out: Out,
    model: Annotated[
        str | None, typer.Option(help="Which model.", show_default="the config's, else cigf")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Experiment file with options.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override one option; repeatable."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the run in --out was stopped.")
    ] = False,
    tensorboard: Annotated[
        bool,
        typer.Option("--tensorboard", help="Also write curves for TensorBoard (extra: track)."),
    ] = False,
    device: Device = "auto",
    force: Force = False,
    json: Json = False,
) -> None:
    """Train a model on a dataset; the best epoch by validation is kept.

    Under torchrun the run is shared by all processes: torchrun --nproc-per-node 2 -m cigf train ...

    Example: cigf train DATASET --out RUN --set training.epochs=20
    """
    from cigf.cli.progress import TrainingProgress
    from cigf.experiment.config import load_experiment
    from cigf.experiment.folder import RunFolder
    from cigf.experiment.training import train_run

    with team(device) as those:
        resume = resume or those.goes_on(out)
        if resume:
            RunFolder(out).read_info()
            if not (config or settings or model):
                config = RunFolder(out).config  # the run's own
        experiment = load_experiment(config, settings or [], model)
        writes_curves = tensorboard and those.leads
        curves = (
            _tensorboard(RunFolder(out).tensorboard) if writes_curves else nullcontext(Listener())
        )
        try:
            with closing(TrainingProgress(experiment.training.metric)) as progress, curves as board:
                fitted = train_run(
                    dataset,
                    out,
                    experiment,
                    device=device,
                    resume=resume,
                    force=force,
                    listener=Listeners(progress, board),
                    ranks=those.ranks,
                    about={"launcher": those.launcher} if those.launcher else None,
                )
        except KeyboardInterrupt:
            again = " --tensorboard" if tensorboard else ""
            raise InterruptedRunError(
                f"stopped in epoch {progress.epoch + 1}; what was learned until the last "
                f"checkpoint is kept. Go on with: cigf train {dataset} --out {out} --resume{again}"
            ) from None
    if not those.leads:
        return
    training = fitted.training
    if json:
        print_json({"run": str(out), **asdict(training), "valid": fitted.valid})
    say(f"Wrote {out}: epoch {training.selected_epoch}, {training.train_seconds:.1f} s of training")
    print_next(f"cigf evaluate {out}", f"cigf recommend {out} --all --k 10 --out recs.parquet")


def _tensorboard(folder: Path) -> AbstractContextManager[Listener]:
    """Return what writes for TensorBoard; refused before anything is trained."""
    from cigf.experiment.tensorboard import TensorBoard

    return closing(TensorBoard(folder))
