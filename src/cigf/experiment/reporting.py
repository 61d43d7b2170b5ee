"""From a run's folder to its report: gathers what `cigf.reports` shows."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cigf.analysis.gates import expert_utilization, has_gates
from cigf.analysis.relations import has_relations, relation_table, top_and_bottom
from cigf.data.dataset_store import read_manifest
from cigf.data.describe import describe
from cigf.data.splitting import HeldOut, Part, Split
from cigf.experiment.config import ExperimentConfig, load_experiment
from cigf.experiment.evaluating import load_same
from cigf.experiment.folder import RunFolder
from cigf.experiment.judging import judge
from cigf.inference.artifact import Artifact, load_artifact
from cigf.inference.recommender import TrainedRecommender
from cigf.ranking import Only
from cigf.reports.page import write_page
from cigf.reports.run_facts import RunFacts, UserLists
from cigf.reports.run_page import run_page
from cigf.seeding import numpy_generator
from cigf.storage import refuse_existing

LISTED = 2000
"""Users whose lists are counted, to see how much of the catalog is shown."""
SHOWN = 6
"""Items shown of each list of an example."""


def write_report(
    run: Path,
    out: Path,
    *,
    dataset: Path | None = None,
    n_users: int = 4,
    n_bootstrap: int = 1000,
    seed: int = 0,
    force: bool = True,
) -> RunFacts:
    """Write the report of a finished run as one HTML page.

    Args:
        run: The run's folder.
        out: The page.
        dataset: A dataset with the same training data; None takes the run's own.
        n_users: How many users are shown with their lists.
        n_bootstrap: Resamples for the intervals.
        seed: Of the resamples and of the users that are drawn.
        force: Replace an existing page.

    Raises:
        ArtifactError: The run is unfinished or damaged.
        DataError: The dataset is not there, or is another than the one that was trained on.
        OutputError: `out` exists and `force` is off, or it cannot be written.
    """
    refuse_existing(out, force)
    facts = gather(run, dataset=dataset, n_users=n_users, n_bootstrap=n_bootstrap, seed=seed)
    write_page(run_page(facts), out, force=force)
    return facts


def gather(
    run: Path, *, dataset: Path | None, n_users: int, n_bootstrap: int, seed: int
) -> RunFacts:
    """Return what the report shows; see `write_report`."""
    folder = RunFolder(run)
    info = folder.read_info()
    artifact = load_artifact(run)
    source = dataset or Path(info["dataset"])
    split = load_same(source, info["fingerprint"])
    config = load_experiment(folder.config)
    part, held_out = _held_out(split)
    # The artifact of an update knows its held-out pairs too, and would hide them from the lists.
    recommender = TrainedRecommender(replace(artifact, history=split.history(part or "test")))
    quality = judge(artifact, split, part, config, n_bootstrap, seed) if part else None
    listed = recommender.users.head(LISTED)
    return RunFacts(
        run="/".join(run.resolve().parts[-2:]),
        model=config.model_name,
        info=info,
        options=list(_options(config)),
        epochs=_epochs(folder.metrics),
        metric=config.training.metric,
        description=describe(split),
        dropped=read_manifest(source).get("extra", {}).get("report", {}).get("dropped", {}),
        # A test file's pairs may be the last ones, whatever the log says.
        has_times=split.train.times[-1] is not None or "no times" not in split.description,
        quality=quality,
        shown_items=_share_shown(recommender, listed),
        listed_users=len(listed),
        relations=_relations(artifact),
        gates=_gates(artifact, held_out),
        users=_examples(recommender, split, held_out, n_users, seed),
    )


def _held_out(split: Split) -> tuple[Part | None, HeldOut | None]:
    target = split.train.behaviors.target_name
    parts: dict[Part, Mapping[str, HeldOut]] = {"test": split.test, "valid": split.valid}
    for part, pairs in parts.items():
        if len(pairs.get(target, ())):
            return part, pairs[target]
    return None, None


def _options(config: ExperimentConfig) -> Iterator[tuple[str, str, str, bool]]:
    default = ExperimentConfig.parse({"model": {"name": config.model_name}}).to_dict()
    for section, options in config.to_dict().items():
        if not isinstance(options, Mapping):
            yield section, "", str(options), options != default[section]
            continue
        for name, value in options.items():
            yield section, name, str(value), value != default[section][name]


def _epochs(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _share_shown(recommender: TrainedRecommender, users: pl.Series) -> float:
    shown = recommender.recommend(users, 10)["item_id"].n_unique()
    return shown / len(recommender.items)


def _relations(artifact: Artifact) -> pl.DataFrame | None:
    if not has_relations(artifact.model):
        return None
    return top_and_bottom(relation_table(artifact.model, artifact.history.behaviors))


def _gates(artifact: Artifact, held_out: HeldOut | None) -> pl.DataFrame | None:
    if held_out is None or not has_gates(artifact.model):
        return None
    return expert_utilization(
        artifact.model,
        artifact.representations,
        held_out.users,
        held_out.items,
        artifact.history.behaviors,
    )


def _examples(
    recommender: TrainedRecommender, split: Split, held_out: HeldOut | None, n: int, seed: int
) -> list[UserLists]:
    """Draw users who have held-out pairs, or any where nothing is held out."""
    among = np.arange(split.train.n_users) if held_out is None else np.unique(held_out.users)
    generator = numpy_generator(seed, "examples")
    drawn = generator.permutation(among)[:n]
    return [_example(recommender, split, held_out, int(row)) for row in np.sort(drawn)]


def _example(
    recommender: TrainedRecommender, split: Split, held_out: HeldOut | None, row: int
) -> UserLists:
    data = split.train
    user = data.users.ids[row]
    lists: dict[str, Only] = {"overall": "all", "discover": "new", "bring back": "touched"}
    recommended = {
        name: recommender.recommend([user], SHOWN, only=only)["item_id"].cast(pl.String).to_list()
        for name, only in lists.items()
    }
    history = {
        name: _named(data.items.external(_last(split, number, row)))
        for number, name in reversed(list(enumerate(data.behaviors)))
    }
    wanted = [] if held_out is None else held_out.items[held_out.users == row]
    return UserLists(
        str(user), history, recommended, _named(data.items.external(np.asarray(wanted, np.int64)))
    )


def _named(ids: pl.Series) -> list[str]:
    return ids.cast(pl.String).to_list()


def _last(split: Split, behavior: int, row: int) -> NDArray[np.int64]:
    """Return what a user did last under a behavior; withheld pairs, which come later, first."""
    matrix, times = split.train.interactions[behavior], split.train.times[behavior]
    place = slice(matrix.indptr[row], matrix.indptr[row + 1])
    items = matrix.indices[place].astype(np.int64)
    if times is not None:
        items = items[np.argsort(-times[place], kind="stable")]
    later = split.withheld[behavior]
    first = later.indices[later.indptr[row] : later.indptr[row + 1]].astype(np.int64)
    return np.concatenate([first, items])[:SHOWN]
