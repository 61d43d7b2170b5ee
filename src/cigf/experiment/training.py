"""`train_run`: from a dataset folder and a configuration to a run folder with an artifact."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from cigf.data.dataset import Dataset
from cigf.data.dataset_store import load_split
from cigf.data.splitting import Split
from cigf.distributed.exchange import Ranks
from cigf.distributed.setting import RankSetting
from cigf.experiment.checks import check_run, learned_from
from cigf.experiment.config import ExperimentConfig, load_experiment
from cigf.experiment.devices import choose_device
from cigf.experiment.evaluating import validator
from cigf.experiment.folder import MetricsFile, RunFolder
from cigf.graph.bipartite import BehaviorGraph
from cigf.inference.artifact import save_artifact
from cigf.models.base import Memory, Recommender, Representations, Sizes
from cigf.models.direct import DirectRecommender
from cigf.models.registry import build_model
from cigf.sampling.build import build_sampler
from cigf.seeding import derive_seed
from cigf.training.checkpoints import Checkpoints
from cigf.training.direct import fit_directly
from cigf.training.events import Listener, Listeners
from cigf.training.trainer import Trainer, TrainingResult, Validate


@dataclass(frozen=True)
class Fitted:
    """A trained model.

    Args:
        model: With the selected epoch's weights, in evaluation mode.
        representations: Its encoded users and items, on the CPU.
        memory: What it keeps of its training graph for users to come, on the CPU.
        training: How training ended.
        valid: Its metrics on the validation pairs, by name; None without any.
    """

    model: Recommender
    representations: Representations
    memory: Memory
    training: TrainingResult
    valid: dict[str, float] | None


def fit_split(
    split: Split,
    config: ExperimentConfig,
    checkpoints: Path,
    *,
    device: str = "auto",
    listener: Listener | None = None,
    start: Recommender | None = None,
    ranks: Ranks | None = None,
    graph: BehaviorGraph | None = None,
) -> Fitted:
    """Train a model on a split, resuming from `checkpoints` where they hold this very run.

    Args:
        split: Training and validation data.
        config: What to train and how.
        checkpoints: Folder for checkpoints.
        device: "auto", "cpu" or "cuda".
        listener: Hears of the progress.
        start: A model of the split's sizes to train on; None begins with fresh weights.
        ranks: The ranks to train on, of which this is one; None: this process alone.
        graph: The graph of the very data that are learned from, on the device, with what other
            trainings derived from it; None builds it.

    Raises:
        ConfigError: The configuration does not fit the data or the machine.
        DivergedError: Training diverged.
    """
    chosen = choose_device(device)
    learned = learned_from(split, config)
    check_run(config, learned, on_ranks=ranks is not None)
    if ranks is not None:
        return _fit_on_ranks(split, learned, config, checkpoints, chosen, listener, ranks)
    graph = graph or BehaviorGraph.build(learned.interactions, chosen, learned.times)
    model = (start or _fresh(learned, config)).to(chosen)
    validate = validator(split, config, graph) if config.data.train_on == "train" else None
    checkpointed = Checkpoints(checkpoints, _fingerprint(learned, config))
    result = _fit(model, learned, config, graph, validate, checkpointed, listener)
    model.eval()
    with torch.no_grad():
        encoded = model.encode(graph)
        memory = {name: tensor.cpu() for name, tensor in model.remember(graph).items()}
    valid = validate(model) if validate else None
    return Fitted(model.cpu(), encoded.cpu(), memory, result, valid)


def _fit_on_ranks(
    split: Split,
    learned: Dataset,
    config: ExperimentConfig,
    checkpoints: Path,
    device: torch.device,
    listener: Listener | None,
    ranks: Ranks,
) -> Fitted:
    """Train on several ranks; every one of them returns the whole model."""
    whole = _fresh(learned, config)
    setting = RankSetting(learned.interactions, ranks, device)
    model = setting.model(whole).to(device)
    graph = setting.graph
    validate = validator(split, config, graph, setting) if config.data.train_on == "train" else None
    checkpointed = setting.checkpoints(checkpoints, _fingerprint(learned, config))
    result = _fit(
        model, learned, config, graph, validate, checkpointed, listener, setting.trainer()
    )
    model.eval()
    valid = validate(model) if validate else None
    representations = model.represent(graph, all_users=True).cpu()
    memory = {name: tensor.cpu() for name, tensor in model.remember(graph).items()}
    complete = _fresh(learned, config)
    complete.load_state_dict(model.state())
    return Fitted(complete.eval(), representations, memory, result, valid)


def _fresh(learned: Dataset, config: ExperimentConfig) -> Recommender:
    """Build a model with the weights that a run of this configuration begins with."""
    sizes = Sizes(learned.n_users, learned.n_items, len(learned.behaviors))
    seed = derive_seed(config.seed, "weights")
    return build_model(config.model_name, config.model, sizes, seed)


def _fit(
    model: Recommender,
    learned: Dataset,
    config: ExperimentConfig,
    graph: BehaviorGraph,
    validate: Validate | None,
    checkpoints: Checkpoints,
    listener: Listener | None,
    build_trainer: Callable[..., Trainer] = Trainer,
) -> TrainingResult:
    """Learn in steps or, for a model that does not, in one go."""
    if isinstance(model, DirectRecommender):
        seed = derive_seed(config.seed, "weights")
        return fit_directly(model, graph, seed, validate=validate, listener=listener)
    source = build_sampler(
        learned.interactions,
        config.sampling,
        config.seed,
        graph.device,
        learns=model.learns,
        on_device=build_trainer is Trainer,  # ranks draw the same pairs, whatever they run on
    )
    trainer = build_trainer(
        config.training,
        learned.behaviors.names,
        graph,
        source,
        seed=config.seed,
        validate=validate,
        checkpoints=checkpoints,
        listener=listener,
    )
    return trainer.fit(model)


def train_run(
    dataset: Path,
    out: Path,
    config: ExperimentConfig | None = None,
    *,
    device: str = "auto",
    resume: bool = False,
    force: bool = False,
    listener: Listener | None = None,
    ranks: Ranks | None = None,
    about: dict[str, Any] | None = None,
) -> Fitted:
    """Train a model and write its run folder.

    Args:
        dataset: A prepared dataset folder.
        out: The run folder to create or, with `resume`, to continue.
        config: What to train and how; None takes the defaults, or with `resume` the run's own.
        device: "auto" (a GPU if there is one), "cpu" or "cuda".
        resume: Continue the run in `out` from its last checkpoint: on the CPU with the same bits
            as if it had never been stopped.
        force: Replace an existing `out`.
        listener: Hears of the progress.
        ranks: The ranks to train on, of which this is one; rank 0 alone writes, but for the
            checkpoints, so `out` must be the same folder for all. None: this process alone.
        about: Plain values that run.json is to hold besides.

    Raises:
        DataError: The dataset cannot be used.
        ConfigError: The configuration does not fit the dataset or the machine.
        OutputError: `out` exists, and neither `resume` nor `force` is given.
        DivergedError: Training diverged; the last good checkpoint is kept.
    """
    split = load_split(dataset)
    folder = RunFolder(out)
    writes = ranks is None or ranks.rank == 0
    if resume:
        folder.read_info()
        config = config or load_experiment(folder.config)
    else:
        config = config or ExperimentConfig()
        # Whatever can be refused is refused before an old run is removed.
        choose_device(device)
        check_run(config, learned_from(split, config), on_ranks=ranks is not None)
        if writes:
            folder.begin(force=force)
            folder.config.write_text(config.to_toml(), encoding="utf-8")
    if ranks is not None:
        ranks.any(False)  # from here on the folder is there
    info = {
        "dataset": str(dataset.resolve()),
        "fingerprint": split.train.fingerprint,
        "model": config.model_name,
        "seed": config.seed,
        "versions": {name: version(name) for name in ("cigf", "torch")},
        "threads": torch.get_num_threads(),
        **({} if ranks is None else {"ranks": ranks.size}),
        **(about or {}),
    }
    if not writes:
        return fit_split(split, config, folder.checkpoints, device=device, ranks=ranks)
    folder.write_info({**info, "status": "training"})
    listeners = Listeners(MetricsFile(folder.metrics), *([listener] if listener else []))
    fitted = fit_split(
        split, config, folder.checkpoints, device=device, listener=listeners, ranks=ranks
    )
    save_fitted(folder.artifact, fitted, split, config, force=True)
    folder.write_info({**info, "status": "finished", **outcome(fitted)})
    return fitted


def save_fitted(
    path: Path, fitted: Fitted, split: Split, config: ExperimentConfig, *, force: bool = False
) -> None:
    """Write the artifact of a fitted model; its histories are all that is known at test time."""
    save_artifact(
        path,
        model=fitted.model,
        model_name=config.model_name,
        config=config.model.model_dump(mode="json"),
        representations=fitted.representations,
        memory=fitted.memory,
        history=split.history("test"),
        withheld=split.withheld if config.data.train_on == "train" else (),
        metadata={
            "seed": config.seed,
            "selected_epoch": fitted.training.selected_epoch,
            "train_on": config.data.train_on,
            "valid": fitted.valid or {},
        },
        force=force,
    )


def _fingerprint(learned: Dataset, config: ExperimentConfig) -> str:
    """Identify what a checkpoint is of: the data and the whole configuration."""
    return blake2b(f"{learned.fingerprint}\n{config.to_toml()}".encode(), digest_size=8).hexdigest()


def outcome(fitted: Fitted) -> dict[str, Any]:
    """Return how a run ended, for run.json."""
    training = fitted.training
    return {
        "reason": training.reason,
        "epochs": training.epochs,
        "selected_epoch": training.selected_epoch,
        "train_seconds": training.train_seconds,
        "valid": fitted.valid,
    }
