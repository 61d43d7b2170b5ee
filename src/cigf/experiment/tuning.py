"""Tuning: a study by Optuna (the extra `tune`) on the validation pairs, never on the test pairs.

study.db       the study, in SQLite; Optuna's own tools read it
space.toml     what is searched
trials/        checkpoints of a trial under way
trials.csv     every trial: state, value, seconds, options
best.toml      the best configuration, for `cigf train --config`

Killed at any moment, it goes on: a trial that was under way resumes from its last checkpoint.
"""

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import polars as pl

from cigf.data.dataset_store import load_split
from cigf.data.splitting import Split
from cigf.errors import ArtifactError, ConfigError, DivergedError, MissingExtraError, OutputError
from cigf.experiment.config import ExperimentConfig
from cigf.experiment.folder import MetricsFile
from cigf.experiment.search_space import Choice, FloatRange, SearchSpace, read_space
from cigf.experiment.training import fit_split
from cigf.models.registry import check_model
from cigf.seeding import derive_seed
from cigf.storage import new_file
from cigf.training.events import EpochRecord, Listener, Listeners

try:
    import optuna
    from optuna.trial import TrialState
    from sqlalchemy.pool import NullPool
except ImportError:
    raise MissingExtraError("optuna", "tune", "tuning") from None

PrunerName = Literal["median", "hyperband", "none"]

PRUNERS: dict[PrunerName, Callable[[], optuna.pruners.BasePruner]] = {
    "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=5, n_min_trials=3),
    "hyperband": lambda: optuna.pruners.HyperbandPruner(),
    "none": lambda: optuna.pruners.NopPruner(),
}
"""What stops a trial early: worse than the median of the others at that epoch, or in brackets."""

_NAME = "cigf"


@dataclass(frozen=True)
class Tried:
    """A finished trial.

    Args:
        number: From 0, with those that were interrupted.
        state: complete, pruned or failed.
        value: Its validation metric; None of a failed one.
        seconds: Wall time.
        options: What was chosen.
        error: Why it failed.
    """

    number: int
    state: str
    value: float | None
    seconds: float
    options: Mapping[str, Any]
    error: str = ""


@dataclass(frozen=True)
class Tuned:
    """What a study has found.

    Args:
        metric: The validation metric.
        trials: All finished ones.
        best: The best of the complete ones; None where none is.
        config: Its configuration.
    """

    metric: str
    trials: list[Tried]
    best: Tried | None
    config: ExperimentConfig | None


def tune(
    dataset: Path,
    space: Path,
    out: Path,
    *,
    n_trials: int,
    seed: int = 0,
    pruner: PrunerName = "median",
    device: str = "auto",
    on_trial: Callable[[Tried, Tried | None], None] | None = None,
) -> Tuned:
    """Search until the study has `n_trials` trials, those of earlier calls included.

    Args:
        dataset: A prepared dataset with validation pairs.
        space: The search space's file.
        out: The study's folder; a study in it is continued.
        n_trials: Trials in all.
        seed: Of the search, and of every training.
        pruner: What stops hopeless trials early.
        device: Where to compute.
        on_trial: Hears of each trial and of the best so far.

    Raises:
        ConfigError: The space is wrong or does not fit the data, or nothing validates.
        OutputError: `out` holds a study of another space or dataset.
    """
    read = read_space(space)
    split = load_split(dataset)
    first = read.config({})
    check_model(first.model_name, first.model, split.train)
    _check_validation(first, split)
    study = _open(out, space, split.train.fingerprint)
    # Another seed after every interruption: the same one would propose again what has been tried.
    drawn = derive_seed(seed, "tune", len(study.trials)) % 2**32
    study.sampler = optuna.samplers.TPESampler(seed=drawn)
    study.pruner = PRUNERS[pruner]()
    _take_up_interrupted(study)
    work = _Work(split, read, out, seed, device)
    while len(_finished(study)) < n_trials:
        tried = work.run(study)
        result = write_study(study, read, out, seed)
        if on_trial is not None:
            on_trial(tried, result.best)
    return write_study(study, read, out, seed)


def _check_validation(config: ExperimentConfig, split: Split) -> None:
    target = split.train.behaviors.target_name
    if config.data.train_on != "train" or not len(split.valid.get(target, ())):
        raise ConfigError(
            f"tuning needs validation pairs of {target}: prepare the data with a share of "
            "validation pairs, and leave data.train_on at train"
        )


def _open(out: Path, space: Path, fingerprint: str) -> optuna.Study:
    text = space.read_text(encoding="utf-8")
    out.mkdir(parents=True, exist_ok=True)
    known = out / "space.toml"
    if known.exists() and known.read_text(encoding="utf-8") != text:
        raise OutputError(f"{out} holds a study of another space ({known}); choose another --out")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = stored(out / "study.db")
    if study.user_attrs.setdefault("fingerprint", fingerprint) != fingerprint:
        raise OutputError(f"{out} holds a study on another dataset; choose another --out")
    study.set_user_attr("fingerprint", fingerprint)
    with new_file(known) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return study


def stored(database: Path) -> optuna.Study:
    """Return the study in a database, begun where there is none; it is open only while it is used.

    Raises:
        ArtifactError: It is no study's database.
    """
    database = database.resolve()
    unpooled = {"poolclass": NullPool}  # a pool would keep connections, and never close them
    try:
        storage = optuna.storages.RDBStorage(f"sqlite:///{database}", engine_kwargs=unpooled)
        return optuna.create_study(
            storage=storage, study_name=_NAME, direction="maximize", load_if_exists=True
        )
    except Exception as error:  # whatever the database's library raises
        reason = str(error).splitlines()[0]
        raise ArtifactError(f"{database}: not a study that can be read ({reason})") from None


def _take_up_interrupted(study: optuna.Study) -> None:
    """Try again first what was under way when the last process ended."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        if trial.params:
            study.enqueue_trial(trial.params)


def _finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """All trials that ended by themselves: the others were interrupted, and have no end noted."""
    ended = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    trials = study.get_trials(deepcopy=False, states=ended)
    return [trial for trial in trials if "seconds" in trial.user_attrs]


class _Work:
    """Runs trials, one at a time."""

    def __init__(self, split: Split, space: SearchSpace, out: Path, seed: int, device: str) -> None:
        self._split, self._space, self._out = split, space, out
        self._seed, self._device = seed, device

    def run(self, study: optuna.Study) -> Tried:
        """Run one trial to its end and tell the study."""
        trial = study.ask()
        began = time.perf_counter()
        chosen = _choose(trial, self._space)
        state, value = TrialState.COMPLETE, None
        try:
            value = self._value(study, trial, chosen)
        except optuna.TrialPruned:
            state = TrialState.PRUNED
        except (DivergedError, ConfigError) as error:
            state = TrialState.FAIL
            trial.set_user_attr("error", str(error))
        trial.set_user_attr("seconds", time.perf_counter() - began)
        study.tell(trial, value, state if value is None else None)
        return _tried(study.trials[trial.number], self._space)

    def _value(self, study: optuna.Study, trial: optuna.Trial, chosen: Mapping[str, Any]) -> float:
        for known in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            if known.params == trial.params and known.value is not None:
                return known.value  # the same run would end with the same value
        config = replace(self._space.config(chosen), seed=self._seed)
        folder = self._folder(config)
        report = _Report(trial, config.training.metric, folder / "metrics.jsonl")
        listener = Listeners(MetricsFile(folder / "metrics.jsonl"), report)
        try:
            fitted = fit_split(
                self._split, config, folder / "checkpoints", device=self._device, listener=listener
            )
        except KeyboardInterrupt:
            raise  # its checkpoints are needed again
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)
        assert fitted.valid is not None
        return fitted.valid[config.training.metric]

    def _folder(self, config: ExperimentConfig) -> Path:
        name = blake2b(config.to_toml().encode(), digest_size=8).hexdigest()
        folder = self._out / "trials" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


class _Report(Listener):
    """Tells the study every validation, and stops a trial that it calls hopeless."""

    def __init__(self, trial: optuna.Trial, metric: str, metrics: Path) -> None:
        self._trial, self._metric, self._metrics = trial, metric, metrics

    def on_start(self, n_epochs: int, n_steps: int, epoch: int) -> None:
        """Tell again what an interrupted trial with the same options had reached."""
        for line in self._metrics.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            self._tell(record["epoch"], record["metrics"])

    def on_epoch(self, record: EpochRecord) -> None:
        """Tell, and ask whether to go on."""
        self._tell(record.epoch, record.metrics)
        if record.metrics is not None and self._trial.should_prune():
            raise optuna.TrialPruned

    def _tell(self, epoch: int, metrics: Mapping[str, float] | None) -> None:
        if metrics is not None and self._metric in metrics:
            self._trial.report(metrics[self._metric], epoch)


def _choose(trial: optuna.Trial, space: SearchSpace) -> dict[str, Any]:
    """Ask the study for a value of each dimension."""
    chosen: dict[str, Any] = {}
    for name, dimension in space.dimensions.items():
        if isinstance(dimension, Choice):
            # As text, because the study stores no lists.
            texts = [json.dumps(value) for value in dimension.choices]
            chosen[name] = json.loads(trial.suggest_categorical(name, texts))
        elif isinstance(dimension, FloatRange):
            low, high = dimension.ends()
            chosen[name] = trial.suggest_float(name, low, high, log=dimension.log)
        else:
            bounds = dimension.ends()
            chosen[name] = trial.suggest_int(name, *bounds, step=dimension.step, log=dimension.log)
    return chosen


def _tried(trial: optuna.trial.FrozenTrial, space: SearchSpace) -> Tried:
    options = {
        name: json.loads(value) if isinstance(space.dimensions.get(name), Choice) else value
        for name, value in trial.params.items()
    }
    names = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}
    return Tried(
        number=trial.number,
        state=names.get(trial.state, "failed"),
        value=trial.value,
        seconds=trial.user_attrs["seconds"],
        options=options,
        error=trial.user_attrs.get("error", ""),
    )


def write_study(study: optuna.Study, space: SearchSpace, out: Path, seed: int) -> Tuned:
    """Write trials.csv and, once a trial is complete, best.toml; return the same."""
    trials = [_tried(trial, space) for trial in _finished(study)]
    metric = space.config({}).training.metric
    complete = [each for each in trials if each.state == "complete" and each.value is not None]
    best = max(complete, key=lambda each: each.value or 0.0, default=None)
    rows = [
        {
            "trial": each.number,
            "state": each.state,
            metric: each.value,
            "seconds": each.seconds,
            **{name: json.dumps(value) for name, value in each.options.items()},
            "error": each.error,
        }
        for each in trials
    ]
    schema = {metric: pl.Float64}
    with new_file(out / "trials.csv") as temporary:
        pl.DataFrame(rows, schema_overrides=schema, infer_schema_length=None).write_csv(temporary)
    if best is None:
        return Tuned(metric, trials, None, None)
    config = replace(space.config(best.options), seed=seed)
    heading = (
        f"# The best of {len(trials)} trials of cigf tune: number {best.number}, "
        f"{metric} {best.value:.4f} on the validation pairs.\n"
    )
    with new_file(out / "best.toml") as temporary:
        temporary.write_text(f"{heading}\n{config.to_toml()}", encoding="utf-8")
    return Tuned(metric, trials, best, config)
