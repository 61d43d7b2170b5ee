"""Touched first: what the user looked at or carted, deepest behavior first, then popularity.

Most held-out purchases of the published splits are of items that the user had touched before, so
this rule, which learns nothing, is what a model has to beat where these are in the catalog.
"""

import numpy as np
import torch

from cigf.data.dataset import Dataset, contains, pair_keys
from cigf.models.popularity import exact_type, popularity_order
from cigf.ranking import Corrections, ScoreFactors


def touched_first_factors(history: Dataset, behavior: int) -> ScoreFactors:
    """Return popularity, raised for touched pairs by the behaviors that they have.

    A deeper behavior stands over all shallower ones together: carted and viewed, then carted,
    then viewed, then untouched; among equals popularity decides.

    Args:
        history: What is known about the users.
        behavior: Index of the behavior to predict.
    """
    touched = history.touched(behavior)
    keys = pair_keys(touched)
    others = [m for k, m in enumerate(history.interactions) if k != behavior]
    levels = np.zeros(len(keys), dtype=np.int64)
    for depth, matrix in enumerate(others):
        levels += contains(pair_keys(matrix), keys) * 2**depth
    raises = levels * history.n_items
    exact = exact_type(history.n_items * 2 ** len(others))
    corrections = Corrections(
        torch.from_numpy(touched.indptr.astype(np.int64)),
        torch.from_numpy(touched.indices.astype(np.int32)),
        torch.from_numpy(raises).to(exact),
    )
    order = torch.from_numpy(popularity_order(history, behavior)).to(exact)
    users = torch.ones(history.n_users, 1, 1, dtype=exact)
    return ScoreFactors(users, order[:, None, None], corrections=corrections)
