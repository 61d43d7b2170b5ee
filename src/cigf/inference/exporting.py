"""Files for other programs: factors as Parquet or safetensors, the scorer as ONNX."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors.numpy import save_file

from cigf.errors import ConfigError, did_you_mean
from cigf.inference.artifact import Artifact
from cigf.inference.export_factors import ExportedFactors, exported_factors
from cigf.storage import new_file, new_folder, refuse_existing


def export(
    artifact: Artifact,
    out: Path,
    format: str,
    *,
    behavior: str | None = None,
    force: bool = False,
) -> None:
    """Write a trained model for other programs; see docs/guide/exporting.md.

    Args:
        artifact: The model.
        out: What to write: a folder for parquet, else a file.
        format: "parquet", "safetensors" or "onnx".
        behavior: What the scores predict; None: the target.
        force: Replace an existing `out`.

    Raises:
        ConfigError: The format is unknown, or the model's scores are not made of factors.
        DataError: There is no such behavior.
        OutputError: `out` exists and `force` is off, or it cannot be written.
        MissingExtraError: The format needs a package that is not installed.
    """
    if format not in WRITERS:
        raise ConfigError(
            f"format {format!r} is unknown{did_you_mean(format, WRITERS)} "
            f"(formats: {', '.join(WRITERS)})"
        )
    refuse_existing(out, force)
    WRITERS[format](exported_factors(artifact, behavior), out, force)


def write_parquet(factors: ExportedFactors, out: Path, force: bool) -> None:
    """Write a folder: users.parquet, items.parquet, seen.parquet and export.json."""
    sides = {
        "users": ("user_id", factors.user_ids, factors.users, factors.user_gates),
        "items": ("item_id", factors.item_ids, factors.items, factors.item_gates),
    }
    with new_folder(out, force=force) as folder:
        for name, (column, ids, vectors, gates) in sides.items():
            frame = pl.DataFrame(
                {
                    column: ids.ids,
                    "factors": vectors.reshape(len(vectors), -1),
                    "gates": gates,
                }
            )
            if name == "items":
                frame = frame.with_columns(bias=pl.Series(factors.item_bias))
            frame.write_parquet(folder / f"{name}.parquet")
        factors.seen_pairs.write_parquet(folder / "seen.parquet")
        (folder / "export.json").write_text(factors.facts.to_json(), encoding="utf-8")


def write_safetensors(factors: ExportedFactors, out: Path, force: bool) -> None:
    """Write one file of arrays; ids that are texts as UTF-8 bytes with offsets."""
    arrays: dict[str, NDArray[np.generic]] = {
        "users": factors.users,
        "items": factors.items,
        "user_gates": factors.user_gates,
        "item_gates": factors.item_gates,
        "item_bias": factors.item_bias,
        "scale": np.array([factors.facts.scale], np.float32),
        "seen_indptr": factors.seen[0],
        "seen_indices": factors.seen[1],
        **_id_arrays("user_ids", factors.user_ids.ids),
        **_id_arrays("item_ids", factors.item_ids.ids),
    }
    # One entry, because the library writes several in any order.
    metadata = {"cigf": json.dumps(json.loads(factors.facts.to_json()))}
    with new_file(out, force=force) as temporary:
        save_file(arrays, temporary, metadata)


def _id_arrays(name: str, ids: pl.Series) -> dict[str, NDArray[np.generic]]:
    if ids.dtype.is_integer():
        return {name: ids.cast(pl.Int64).to_numpy()}
    texts = [text.encode() for text in ids.cast(pl.String).to_list()]
    offsets = np.cumsum([0, *map(len, texts)], dtype=np.int64)
    return {name: np.frombuffer(b"".join(texts), np.uint8), f"{name}_offsets": offsets}


def write_onnx(factors: ExportedFactors, out: Path, force: bool) -> None:
    """Write the scorer as an ONNX graph, once its scores were compared with ours."""
    from cigf.inference.onnx_graph import check_scorer, save_scorer

    with new_file(out, force=force) as temporary:
        save_scorer(factors, temporary)
        check_scorer(factors, temporary)


WRITERS: dict[str, Callable[[ExportedFactors, Path, bool], None]] = {
    "parquet": write_parquet,
    "safetensors": write_safetensors,
    "onnx": write_onnx,
}
"""What writes each format."""
