"""Tensors of an artifact on disk, checked when read, and the factors of its scores."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from cigf.errors import ArtifactError
from cigf.inference.manifest import (
    ArrayEntry,
    FactorsEntry,
    Manifest,
    check_array,
    check_names,
    describe_array,
)
from cigf.ranking import ScoreFactors, Scorer

_PARTS = ("users", "items", "user_gates", "item_gates", "item_bias")


def save_tensors(path: Path, tensors: dict[str, Tensor]) -> dict[str, ArrayEntry]:
    """Write tensors as safetensors; return their manifest entries by "file:name"."""
    plain = {name: each.detach().cpu().contiguous() for name, each in tensors.items()}
    save_file(plain, path)
    return {f"{path.name}:{name}": describe_array(t.numpy()) for name, t in plain.items()}


def load_tensors(path: Path, manifest: Manifest) -> dict[str, Tensor]:
    """Read tensors and compare each with the manifest.

    Raises:
        ArtifactError: The file is no safetensors file, or a tensor is missing, new or different.
    """
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{path}: not a safetensors file: {error}") from None
    check_names(path, tensors, manifest)
    for name, tensor in tensors.items():
        check_array(path, f"{path.name}:{name}", tensor.numpy(), manifest)
    return tensors


def save_factors(
    path: Path, scorers: Mapping[str, Scorer], saved: Mapping[str, Tensor]
) -> tuple[dict[str, FactorsEntry], dict[str, ArrayEntry]]:
    """Write what the scores of each behavior are made of, where they are factors and no more.

    Args:
        path: The file; not written where there is nothing to write.
        scorers: The scorer of each behavior, by its name.
        saved: Tensors that are in another file already, by their names in the manifest; they
            are not written again.

    Returns:
        Where the factors are, by behavior; and the manifest entries of the written tensors.
    """
    written: dict[str, Tensor] = {}
    entries = {}
    for name, scorer in scorers.items():
        if isinstance(scorer, ScoreFactors) and scorer.corrections is None:
            places = dict(_place(path.name, scorer, saved, written))
            entries[name] = FactorsEntry(**places, scale=scorer.scale)
    return entries, save_tensors(path, written) if written else {}


def _place(
    file: str, factors: ScoreFactors, saved: Mapping[str, Tensor], written: dict[str, Tensor]
) -> Iterator[tuple[str, str]]:
    """Yield the name of each part of the factors, and where it is; add to `written`."""
    for part in _PARTS:
        tensor: Tensor | None = getattr(factors, part)
        if tensor is None:
            continue
        known = {**saved, **{f"{file}:{name}": each for name, each in written.items()}}
        found = next((name for name, each in known.items() if _is_same(each, tensor)), None)
        if found is None:
            number = str(len(written))
            written[number] = tensor
            found = f"{file}:{number}"
        yield part, found


def _is_same(a: Tensor, b: Tensor) -> bool:
    return a.data_ptr() == b.data_ptr() and a.shape == b.shape and a.stride() == b.stride()
