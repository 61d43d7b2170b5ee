"""MB-GMN's scores: every pair, source and target has a layer of its own, made by a network.

    p_a = [u_a * i_a || u_a || i_a],  c_a = phi(p_a F_1 + f_1)
    g = phi([c_a * c_b || c_a || c_b] F_2 + f_2)
    score = scale phi(p_a reshape(g F_3 + f_3) + g F_4 + f_4) (g F_5 + f_5)

`meta_scores` tells how the layers are avoided.

Axes: n pairs, A sources, r users under one source each, m pairs of one, D size.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from cigf.nn.init import xavier_uniform
from cigf.nn.meta_losses import Compared, HingeOfSources
from cigf.nn.meta_scores import SLOPE, Weights, score_lists, score_pairs


class MetaHead(nn.Module):
    """Scores of pairs; see the module.

    Args:
        size: D.
        scale: Factor of every score.
        generator: Source of the initial weights.
    """

    def __init__(self, size: int, scale: float, generator: torch.Generator) -> None:
        super().__init__()
        self.scale = scale
        wide = 3 * size
        shapes = ((wide, size), (wide, wide), (wide, wide * size), (wide, size), (wide, size))
        self.weights = nn.ParameterList(xavier_uniform(shape, generator) for shape in shapes)
        self.biases = nn.ParameterList(torch.zeros(shape[1]) for shape in shapes)

    def describe(
        self, users: Float[Tensor, "*u D"], items: Float[Tensor, "*i D"]
    ) -> Float[Tensor, "*n D"]:
        """Return c of pairs, with broadcasting."""
        both = users * items
        pairs = torch.cat([both, users.expand_as(both), items.expand_as(both)], dim=-1)
        return leaky_relu(pairs @ self.weights[0] + self.biases[0], SLOPE)

    def forward(
        self,
        users: Float[Tensor, "r D"],
        items: Float[Tensor, "#r m D"],
        source: Float[Tensor, "r m D"],
        target: Float[Tensor, "r m D"],
    ) -> Float[Tensor, "r m"]:
        """Score every user's own pairs; no gradient passes.

        Args:
            users: Under the source.
            items: Likewise.
            source: c of the pairs under their source.
            target: c of the pairs under their target.
        """
        return self.scale * score_lists(self._all(), users, items, source, target)

    def of_pairs(
        self,
        users: Float[Tensor, "u D"],
        items: Float[Tensor, "n D"],
        source: Float[Tensor, "n D"],
        target: Float[Tensor, "n D"],
        rows: Int64[Tensor, "n"],
    ) -> Float[Tensor, "n"]:
        """Score pairs, of every user as many as there are; no gradient passes.

        Args:
            users: Under the source.
            items: Each pair's, likewise.
            source: c of the pairs under their source.
            target: c of the pairs under their target.
            rows: Each pair's user.
        """
        return self.scale * score_pairs(self._all(), users, items, source, target, rows)

    def losses(
        self, compared: Compared, users: Float[Tensor, "u A D"], items: Float[Tensor, "n A D"]
    ) -> Float[Tensor, "B"]:
        """Return each behavior's hinge loss, added up over the sources.

        Args:
            compared: What is scored and what is compared.
            users: Under every source.
            items: Each entry's, likewise.
        """
        out: Tensor = HingeOfSources.apply(  # type: ignore[no-untyped-call]
            compared, self.scale, users, items, *self._all()
        )
        return out

    def _all(self) -> Weights:
        return [*self.weights, *self.biases]
