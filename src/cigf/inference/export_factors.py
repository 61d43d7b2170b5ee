"""The factors of a trained model in one form for all models, for other programs.

With E experts, logits p of the user and q of the item, and s the scale,

    score(u, i) = s * sum_e softmax_e(p_u + q_i) <x_ue, y_ie> + b_i

A model that sums its experts plainly has one expert here, as long as all of them together, so that
the softmax is 1. Axes: U users, I items, E experts, D size.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from torch import Tensor

from cigf.data.ids import IdMap
from cigf.errors import ConfigError
from cigf.inference.artifact import Artifact
from cigf.ranking import ScoreFactors

FORMULA = "scale * sum_e softmax_e(user_gates + item_gates) * <user_e, item_e> + item_bias"

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class ExportFacts:
    """What an export says of itself.

    Args:
        model: Name of the model.
        behavior: What the scores predict.
        n_users: U.
        n_items: I.
        n_experts: E.
        size: D.
        scale: Factor of every score.
        formula: How a score is made.
        dataset: Fingerprint of the history that the artifact carries.
    """

    model: str
    behavior: str
    n_users: int
    n_items: int
    n_experts: int
    size: int
    scale: float
    formula: str
    dataset: str

    def to_json(self) -> str:
        """Return everything as JSON; equal facts give equal texts."""
        return json.dumps(asdict(self), indent=2) + "\n"


@dataclass(frozen=True, eq=False)
class ExportedFactors:
    """Both sides of the scores of one behavior.

    Args:
        facts: Names and sizes.
        users: x, shape (U, E, D).
        items: y, shape (I, E, D).
        user_gates: p, shape (U, E); zeros where the model has none.
        item_gates: q, shape (I, E).
        item_bias: b, shape (I,).
        user_ids: External ids of the users.
        item_ids: External ids of the items.
        seen: Users and items of the pairs that the behavior has already, as rows.
    """

    facts: ExportFacts
    users: Floats
    items: Floats
    user_gates: Floats
    item_gates: Floats
    item_bias: Floats
    user_ids: IdMap
    item_ids: IdMap
    seen: tuple[NDArray[np.int64], NDArray[np.int32]]

    @property
    def seen_pairs(self) -> pl.DataFrame:
        """What users did under the behavior, in external ids: columns user_id, item_id."""
        indptr, indices = self.seen
        users = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
        return pl.DataFrame(
            {"user_id": self.user_ids.external(users), "item_id": self.item_ids.external(indices)}
        )


def exported_factors(artifact: Artifact, behavior: str | None = None) -> ExportedFactors:
    """Return the factors of a behavior's scores.

    Args:
        artifact: The model.
        behavior: What is predicted; None: the target.

    Raises:
        ConfigError: The model's scores are not made of factors.
        DataError: There is no such behavior.
    """
    history, manifest = artifact.history, artifact.manifest
    number = history.behaviors.target if behavior is None else history.behaviors.index(behavior)
    scorer = artifact.scorer(behavior)
    if not isinstance(scorer, ScoreFactors) or scorer.corrections is not None:
        raise ConfigError(
            f"the scores of this {manifest.model} are not made of factors of users and items, so "
            "they cannot be exported; those of cigf are with the heads mesi, bilinear and "
            "shared-bottom, and those of lightgcn, ngcf, mbgcn, ghcf, matn, dmf, autorec, ials and "
            "bpr-mf"
        )
    users, items, p, q = _one_form(scorer)
    bias = scorer.item_bias
    seen = history.interactions[number]
    facts = ExportFacts(
        model=manifest.model,
        behavior=history.behaviors.names[number],
        n_users=len(users),
        n_items=len(items),
        n_experts=users.shape[1],
        size=users.shape[2],
        scale=scorer.scale,
        formula=FORMULA,
        dataset=manifest.dataset,
    )
    return ExportedFactors(
        facts,
        users,
        items,
        p,
        q,
        np.zeros(len(items), np.float32) if bias is None else _array(bias),
        history.users,
        history.items,
        (seen.indptr.astype(np.int64), seen.indices.astype(np.int32)),
    )


def _one_form(scorer: ScoreFactors) -> tuple[Floats, Floats, Floats, Floats]:
    x, y = _array(scorer.users), _array(scorer.items)
    if not scorer.is_gated:
        x, y = (side.reshape(len(side), 1, -1) for side in (x, y))
    gates = (scorer.user_gates, scorer.item_gates)
    p, q = (
        np.zeros(side.shape[:2], np.float32) if gate is None else _array(gate)
        for side, gate in zip((x, y), gates, strict=True)
    )
    return x, y, p, q


def _array(tensor: Tensor) -> Any:
    return np.ascontiguousarray(tensor.detach().cpu().float().numpy())
