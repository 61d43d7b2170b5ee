"""Answers as plain values, for JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from cigf.service.model import List, ServedModel


def source(model: ServedModel) -> dict[str, Any]:
    """Say where an answer comes from."""
    return {"model": model.name, "version": model.version}


def one_list(found: List) -> dict[str, Any]:
    """Return one user's list with its source."""
    return {**source(found.model), **plain_list(found)}


def plain_list(found: List) -> dict[str, Any]:
    """Return one user's list."""
    return {
        "user_id": found.user,
        "fallback": found.fallback,
        "folded": found.folded,
        "items": _with_others(plain_items(found.items, found.scores), found.others),
    }


def _with_others(
    items: list[dict[str, Any]], others: Mapping[str, Sequence[float]]
) -> list[dict[str, Any]]:
    if not others:
        return items
    rows = zip(*others.values(), strict=True)
    return [
        {**item, "scores": dict(zip(others, row, strict=True))}
        for item, row in zip(items, rows, strict=True)
    ]


def plain_items(ids: Sequence[Any], scores: Sequence[float]) -> list[dict[str, Any]]:
    """Return items in the order of their ranks."""
    return [
        {"item_id": item, "score": score, "rank": rank}
        for rank, (item, score) in enumerate(zip(ids, scores, strict=True), start=1)
    ]


def about(model: ServedModel) -> dict[str, Any]:
    """Describe a model."""
    return {
        "name": model.name,
        "version": model.version,
        "kind": model.manifest.model,
        "behaviors": list(model.behaviors),
        "users": len(model.users),
        "items": len(model.items),
    }
