"""Nearest rows by cosine."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize


def nearest(
    rows: Float[Tensor, "n B D"], row: int, k: int
) -> tuple[Float[Tensor, " k"], list[int]]:
    """Return the cosines and numbers of the k rows most similar to one row, itself left out.

    The similarity is the mean over behaviors of the cosine between the two vectors, so that a
    behavior with long vectors does not drown the others. Ties go to the lower number.
    """
    units = normalize(rows.float(), dim=-1)
    similarity = torch.einsum("nbd,bd->n", units, units[row]) / rows.shape[1]
    return most_similar(similarity, row, k)


def most_similar(
    similarity: Float[Tensor, " n"], row: int, k: int
) -> tuple[Float[Tensor, " k"], list[int]]:
    """Return the largest values and the numbers of their rows, one row left out."""
    similarity[row] = -torch.inf
    order = torch.sort(similarity, descending=True, stable=True).indices[
        : min(k, len(similarity) - 1)
    ]
    return similarity[order], order.tolist()
