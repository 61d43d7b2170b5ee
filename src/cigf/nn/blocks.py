"""MESI's scores of all users of a batch with the same sampled items: matrix products, no pairs.

Axes: u users, s sampled items, n pairs, I items, B behaviors, D embedding size.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from cigf.nn.heads import MESIHead


class MESIBlock:
    """The same scores as the head gives pair by pair.

    Args:
        head: The head.
        users: Representations of the batch's users.
        items: Representations of the sampled items.
    """

    def __init__(
        self, head: MESIHead, users: Float[Tensor, "u B D"], items: Float[Tensor, "s B D"]
    ) -> None:
        self._scale = head.scale
        self._experts = torch.bmm(users.transpose(0, 1), items.permute(1, 2, 0))
        self._gates = tuple(
            part.view(len(part), users.shape[1], users.shape[1])
            for part in (head.user_parts(users)[1], head.item_parts(items)[1])
        )

    def scores(self, task: int) -> Float[Tensor, "u s"]:
        """Return one task's scores."""
        mine, theirs = (gates[:, task].T for gates in self._gates)
        # Experts before pairs: a softmax over a short last axis takes several times as long.
        weights = (mine[:, :, None] + theirs[:, None]).softmax(0)
        scores: Tensor = self._scale * (weights * self._experts).sum(0)
        return scores
