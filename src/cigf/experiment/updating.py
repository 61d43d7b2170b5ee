"""`update_run`: from a run and later events to a new run, without training from scratch."""

from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from cigf.config import Config
from cigf.data.appending import Appended, append_events, count_new, everything, hold_out_new
from cigf.data.dataset_store import save_split
from cigf.data.holdouts import as_matrices, without_pairs
from cigf.data.options import ReadOptions
from cigf.data.readers import Source, read_events
from cigf.data.splitting import HeldOut, Split
from cigf.errors import ConfigError
from cigf.experiment.config import ExperimentConfig, load_experiment
from cigf.experiment.devices import choose_device
from cigf.experiment.evaluating import load_same
from cigf.experiment.folder import MetricsFile, RunFolder
from cigf.experiment.training import Fitted, fit_split, outcome, save_fitted
from cigf.experiment.update_judging import judge_update
from cigf.inference.artifact import Artifact, load_artifact
from cigf.models.base import Recommender, Sizes
from cigf.models.growing import grow_model
from cigf.seeding import derive_seed, numpy_generator
from cigf.storage import new_folder, refuse_existing, write_json
from cigf.training.events import Listener, Listeners

EPOCHS = 5

UPDATE = "update.json"
"""What an update reports, in the new run's folder."""


@dataclass(frozen=True)
class _Before:
    """The run that is updated."""

    artifact: Artifact
    config: ExperimentConfig
    split: Split


def update_run(
    run: Path,
    events: Source | list[Source],
    out: Path,
    options: ReadOptions | None = None,
    *,
    dataset: Path | None = None,
    epochs: int = EPOCHS,
    device: str = "auto",
    n_bootstrap: int = 1000,
    force: bool = False,
    listener: Listener | None = None,
) -> dict[str, Any]:
    """Continue a run on later events, and judge old and new model on what was held out of them.

    The old weights stay where they are, new users and items get rows behind them, and training
    goes on for a few epochs on everything that is known. Pairs that the run had held out are
    learned from now. Of the new target pairs, each user's last one is held out.

    Args:
        run: A finished run; it is only read.
        events: As for `read_events`.
        out: The new run, which appears when it is complete; it holds its own dataset. It may be
            `run` itself, with `force`.
        options: How the events are read; their behaviors are the run's.
        dataset: The run's dataset; None: where it was.
        epochs: How long training goes on.
        device: "auto", "cpu" or "cuda".
        n_bootstrap: Resamples for the intervals.
        force: Replace an existing `out`.
        listener: Hears of the progress.

    Returns:
        What `update.json` holds: n_events, new (pairs by behavior, users, items), held_out and
        `judge_update`'s result.

    Raises:
        ArtifactError: The run is unfinished or damaged.
        DataError: The events cannot be used, nothing in them is new, or the dataset is not there.
        ConfigError: The model cannot grow, or an option is not allowed.
        OutputError: `out` exists and `force` is off, or it cannot be written.
        DivergedError: Training diverged; nothing is written.
    """
    refuse_existing(out, force)
    if epochs < 1:
        raise ConfigError(f"epochs: {epochs} given; must be at least 1")
    choose_device(device)
    before = _read(run, dataset)
    behaviors = before.split.train.behaviors
    reading = (options or ReadOptions()).model_copy(
        update={"behaviors": behaviors.names, "target": None}
    )
    old = everything(before.split)
    appended = append_events(old, read_events(events, reading))
    generator = numpy_generator(before.config.seed, "update")
    held_out = hold_out_new(appended, old, generator)
    split = _split(appended, held_out)
    config = _short(before.config, epochs)
    start = _grown(before, split, config)
    with new_folder(out, force=force) as temporary:
        folder = RunFolder(temporary)
        listeners = Listeners(MetricsFile(folder.metrics), *([listener] if listener else []))
        fitted = fit_split(
            split, config, folder.checkpoints, device=device, listener=listeners, start=start
        )
        result = {
            "n_events": appended.n_events,
            "new": {
                "pairs": dict(count_new(appended, old)),
                "users": appended.n_new_users,
                "items": appended.n_new_items,
            },
            "held_out": len(held_out),
            **judge_update(before.artifact, fitted, split, appended, n_bootstrap),
        }
        _write(folder, out, split, fitted, config, result)
    return result


def _read(run: Path, dataset: Path | None) -> _Before:
    folder = RunFolder(run)
    info = folder.read_info()
    artifact = load_artifact(run)
    split = load_same(dataset or Path(info["dataset"]), info["fingerprint"])
    return _Before(artifact, load_experiment(folder.config), split)


def _split(appended: Appended, held_out: HeldOut) -> Split:
    known = appended.known
    test = {known.behaviors.target_name: held_out} if len(held_out) else {}
    times = appended.fresh.times[known.behaviors.target]
    kind = (
        "one random new pair (the events have no times)" if times is None else "the last new pair"
    )
    words = (
        f"test: {kind} of each user in the events of an update, of items known before; "
        "validation: none"
    )
    train = without_pairs(known, test)
    return Split(train, as_matrices(train, {}), {}, test, {}, words if test else "test: none")


def _short(config: ExperimentConfig, epochs: int) -> ExperimentConfig:
    training = {"epochs": epochs, "evaluate_every": 0, "restore": "last", "patience": 0}
    return replace(
        config,
        training=config.training.model_copy(update=training),
        data=config.data.model_copy(update={"train_on": "train"}),
    )


def _grown(before: _Before, split: Split, config: ExperimentConfig) -> Recommender:
    old, new = before.split.train, split.train
    sizes = (
        Sizes(old.n_users, old.n_items, len(old.behaviors)),
        Sizes(new.n_users, new.n_items, len(new.behaviors)),
    )
    options: Config = config.model
    seed = derive_seed(config.seed, "new rows")
    return grow_model(before.artifact.model, config.model_name, options, sizes, seed)


def _write(
    folder: RunFolder,
    out: Path,
    split: Split,
    fitted: Fitted,
    config: ExperimentConfig,
    result: dict[str, Any],
) -> None:
    save_split(split, folder.path / "dataset")
    folder.config.write_text(config.to_toml(), encoding="utf-8")
    # What was held out is no news to the users: lists hide it, though the model has not seen it.
    withheld = as_matrices(split.train, split.test)
    served = replace(split, withheld=withheld, test={})
    save_fitted(folder.artifact, fitted, served, config)
    write_json(folder.path / UPDATE, result)
    folder.write_info(
        {
            "dataset": str(out.resolve() / "dataset"),
            "fingerprint": split.train.fingerprint,
            "model": config.model_name,
            "seed": config.seed,
            "versions": {name: version(name) for name in ("cigf", "torch")},
            "threads": torch.get_num_threads(),
            "status": "finished",
            **outcome(fitted),
        }
    )
