"""Files for other programs: factors as tables or arrays, the scorer as ONNX, an index of items."""

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
from cigf.inference.opened import Factors
from cigf.inference.quick import UserFactors
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
        out: What to write: a folder for parquet and faiss, else a file.
        format: "parquet", "safetensors", "onnx" or "faiss".
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
    with new_folder(out, force=force) as folder:
        _write_tables(factors, folder)


def _write_tables(
    factors: ExportedFactors, folder: Path, queries: NDArray[np.float32] | None = None
) -> None:
    users = _table("user_id", factors.user_ids.ids, factors.users, factors.user_gates)
    if queries is not None:
        users = users.with_columns(query=pl.Series(queries))
    items = _table("item_id", factors.item_ids.ids, factors.items, factors.item_gates)
    users.write_parquet(folder / "users.parquet")
    items.with_columns(bias=pl.Series(factors.item_bias)).write_parquet(folder / "items.parquet")
    factors.seen_pairs.write_parquet(folder / "seen.parquet")
    (folder / "export.json").write_text(factors.facts.to_json(), encoding="utf-8")


def _table(
    column: str, ids: pl.Series, vectors: NDArray[np.float32], gates: NDArray[np.float32]
) -> pl.DataFrame:
    flat = vectors.reshape(len(vectors), -1)
    return pl.DataFrame({column: ids, "factors": flat, "gates": gates})


def write_faiss(factors: ExportedFactors, out: Path, force: bool) -> None:
    """Write the folder of parquet with items.faiss, and in users.parquet what to search it for."""
    from cigf.inference.index import build_index

    gated = factors.facts.n_experts > 1
    sides = Factors(
        factors.users,
        factors.items,
        factors.user_gates if gated else None,
        factors.item_gates if gated else None,
        factors.item_bias if factors.item_bias.any() else None,
        factors.facts.scale,
    )
    index = build_index(sides, factors.facts.dataset, factors.facts.behavior)
    gates = factors.user_gates if gated else [None] * len(factors.users)
    queries = [index.query(UserFactors(*user)) for user in zip(factors.users, gates, strict=True)]
    with new_folder(out, force=force) as folder:
        _write_tables(factors, folder, np.stack(queries))
        index.write(folder / "items.faiss")


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
    "faiss": write_faiss,
}
"""What writes each format."""
