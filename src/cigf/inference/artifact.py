"""Artifact: a folder with all that is needed to recommend, checked whole before it is used.

    manifest.json                       versions, configuration, sizes, a hash of every other file
    model.safetensors                   the parameters
    representations.safetensors         users (U, B, D) and items (I, B, D)
    factors.safetensors                 what scores are made of, where that is no representation
    memory.safetensors                  what the model keeps of its training graph for fold-in
    users.arrow, items.arrow            external ids in row order
    seen/<b>.indptr.npy, .indices.npy   who did what, by behavior number
    withheld/<b>.indptr.npy, ...        those of these pairs that the model's graph does not have
    MODEL_CARD.md

No pickle, and equal input gives equal bytes.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from cigf.data.behaviors import Behaviors
from cigf.data.dataset import Dataset, Matrix
from cigf.data.holdouts import difference
from cigf.errors import ArtifactError, ConfigError
from cigf.graph.bipartite import BehaviorGraph
from cigf.inference.card import model_card
from cigf.inference.folders import FACTORS, MEMORY, MODEL, REPRESENTATIONS, find_artifact
from cigf.inference.history_files import (
    load_history,
    load_withheld,
    save_history,
    save_withheld,
)
from cigf.inference.manifest import (
    MANIFEST,
    Manifest,
    check_files,
    describe_files,
    read_manifest,
    write_manifest,
)
from cigf.inference.tensor_files import load_tensors, save_factors, save_tensors
from cigf.models.base import Memory, Recommender, Representations, Sizes
from cigf.models.registry import build_model, parse_model_config
from cigf.ranking import Scorer
from cigf.storage import new_folder

_KEPT = "kept."
"""How the names of what scorers need besides vectors begin."""


@dataclass(frozen=True, eq=False)
class Artifact:
    """A trained model with its representations, ids and histories.

    Args:
        path: The folder.
        manifest: What the folder says about itself.
        model: The model, in evaluation mode.
        representations: Its encoded users and items.
        history: What is known about the users: what recommendations leave out or build on.
        withheld: Pairs of the history that the model's graph does not have: they were kept from
            training to select the epoch. One matrix per behavior.
        memory: What the model kept of its training graph (`Recommender.remember`); nothing where
            it cannot fold in.
    """

    path: Path
    manifest: Manifest
    model: Recommender
    representations: Representations
    history: Dataset
    withheld: tuple[Matrix, ...]
    memory: Memory = field(default_factory=dict)

    @cached_property
    def learned(self) -> Dataset:
        """What the model learned from and is connected by: the history without the withheld."""
        history = self.history
        matrices = difference(history.interactions, self.withheld)
        return Dataset(history.behaviors, history.users, history.items, matrices, history.times)

    @cached_property
    def graph(self) -> BehaviorGraph:
        """The graph from which the representations were computed, on the CPU."""
        return BehaviorGraph.build(self.learned.interactions)

    def scorer(self, behavior: str | None = None, device: torch.device | str = "cpu") -> Scorer:
        """Return the scorer of a behavior (default: the target).

        Args:
            behavior: Its name.
            device: Where the scores are to be computed; the artifact stays on the CPU.

        Raises:
            DataError: There is no such behavior.
            ConfigError: The model predicts the target alone, and this is another behavior.
        """
        behaviors = self.history.behaviors
        chosen = behaviors.target if behavior is None else behaviors.index(behavior)
        if self.model.learns == "target" and chosen != behaviors.target:
            raise ConfigError(
                f"{self.manifest.model} predicts {behaviors.target_name} alone; {behavior} given. "
                "Leave the behavior out, or train a model that learns from every behavior's labels"
            )
        there = torch.device(device)
        model = self.model if there.type == "cpu" else deepcopy(self.model).to(there)
        with torch.no_grad():
            return model.scorer(self.representations.to(there), chosen)

    def save(self, path: Path, *, force: bool = False) -> None:
        """Write the artifact to another folder; see `save_artifact`."""
        save_artifact(
            path,
            model=self.model,
            model_name=self.manifest.model,
            config=self.manifest.config,
            representations=self.representations,
            history=self.history,
            withheld=self.withheld,
            memory=self.memory,
            metadata=self.manifest.metadata,
            force=force,
        )


def save_artifact(
    path: Path,
    *,
    model: Recommender,
    model_name: str,
    config: Mapping[str, Any],
    representations: Representations,
    history: Dataset,
    withheld: Sequence[Matrix] = (),
    memory: Memory | None = None,
    metadata: Mapping[str, Any] | None = None,
    force: bool = False,
) -> None:
    """Write an artifact folder, whole or not at all.

    Args:
        path: The folder to create.
        model: The trained model.
        model_name: Its name in the registry.
        config: Its resolved hyperparameters, as plain values.
        representations: Its encoded users and items.
        history: What is known about the users when they ask for recommendations.
        withheld: Pairs of the history that are not in the graph of the representations, one
            matrix per behavior; none where all are.
        memory: What the model keeps of its training graph; None or empty: it cannot fold in.
        metadata: Plain values to remember, such as seed, epoch and metrics; no times of day.
        force: Replace an existing folder.

    Raises:
        OutputError: `path` exists and `force` is off, or it cannot be written.
    """
    with new_folder(path, force=force) as folder:
        arrays = save_tensors(folder / MODEL, dict(model.state_dict()))
        vectors = {
            "users": representations.users,
            "items": representations.items,
            **{f"{_KEPT}{name}": tensor for name, tensor in representations.kept.items()},
        }
        arrays |= save_tensors(folder / REPRESENTATIONS, vectors)
        if memory:
            arrays |= save_tensors(folder / MEMORY, dict(memory))
        saved = {f"{REPRESENTATIONS}:{name}": each for name, each in vectors.items()}
        scorers = _scorers(model, representations, history.behaviors)
        factors, written = save_factors(folder / FACTORS, scorers, saved)
        arrays |= written
        arrays |= save_history(folder, history)
        arrays |= save_withheld(folder, withheld)
        manifest = Manifest(
            model=model_name,
            config=dict(config),
            behaviors=history.behaviors.names,
            n_users=history.n_users,
            n_items=history.n_items,
            dataset=history.fingerprint,
            versions={name: version(name) for name in ("cigf", "torch")},
            metadata=dict(metadata or {}),
            arrays=arrays,
            factors=factors,
            files={},
        )
        (folder / "MODEL_CARD.md").write_text(model_card(manifest), encoding="utf-8")
        write_manifest(folder, manifest.model_copy(update={"files": describe_files(folder)}))


def _scorers(
    model: Recommender, representations: Representations, behaviors: Behaviors
) -> dict[str, Scorer]:
    """Return the scorer of every behavior that the model predicts."""
    known = [behaviors.target] if model.learns == "target" else range(len(behaviors))
    with torch.no_grad():
        return {behaviors.names[each]: model.scorer(representations, each) for each in known}


def load_artifact(path: Path) -> Artifact:
    """Read an artifact, or the artifact of a run folder; everything is checked first.

    Raises:
        ArtifactError: A file is missing, truncated or altered, a newer version of cigf wrote
            the folder, or the arrays do not fit the manifest; names the file.
    """
    folder = find_artifact(path)
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    history = load_history(folder, manifest)
    representations = _load_representations(folder / REPRESENTATIONS, manifest)
    model = _load_model(folder, manifest)
    withheld = load_withheld(folder, manifest)
    memory = load_tensors(folder / MEMORY, manifest) if MEMORY in manifest.files else {}
    return Artifact(folder, manifest, model, representations, history, withheld, memory)


def _load_representations(path: Path, manifest: Manifest) -> Representations:
    tensors = load_tensors(path, manifest)
    for name, n in (("users", manifest.n_users), ("items", manifest.n_items)):
        if name not in tensors or tensors[name].dim() != 3 or len(tensors[name]) != n:
            found = tuple(tensors[name].shape) if name in tensors else "missing"
            raise ArtifactError(f"{path}: {name} is {found}; the manifest demands ({n}, B, D)")
    kept = {
        name.removeprefix(_KEPT): tensor
        for name, tensor in tensors.items()
        if name.startswith(_KEPT)
    }
    return Representations(tensors["users"], tensors["items"], kept)


def _load_model(folder: Path, manifest: Manifest) -> Recommender:
    state = load_tensors(folder / MODEL, manifest)
    sizes = Sizes(manifest.n_users, manifest.n_items, len(manifest.behaviors))
    try:
        config = parse_model_config(manifest.model, manifest.config)
        model = build_model(manifest.model, config, sizes, seed=0)
        model.load_state_dict(state)
    except ConfigError as error:
        raise ArtifactError(f"{folder / MANIFEST}: its model cannot be built: {error}") from None
    except RuntimeError as error:
        raise ArtifactError(f"{folder / MODEL}: does not fit the manifest: {error}") from None
    return model.eval().requires_grad_(False)
