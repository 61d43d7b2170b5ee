"""Units of neural collaborative filtering: f_k(u, i) of every behavior from two embeddings.

He et al., "Neural Collaborative Filtering", WWW 2017. A unit computes a part per node and then
combines two parts per pair: what depends on one node alone is never computed twice.

Axes: n nodes, U users, I items, B behaviors, D embedding size, _ a unit's own width.
"""

import math
from abc import ABC, abstractmethod
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cigf.nn.init import uniform
from cigf.ranking import PartsScorer, ScoreFactors, Scorer

UnitName = Literal["gmf", "gmf-hidden", "mlp", "neumf"]
"""h_k (x * y), linear as in NMTR's paper; or h_k ReLU(W_k in + c_k) with in = x * y, as in its
program; in = x || y; in = x || y || x * y."""


class Unit(nn.Module, ABC):
    """Outputs of pairs for training, and a scorer of the whole catalog for ranking.

    Args:
        n_behaviors: B.
        embedding_size: D, also the width of a hidden layer.
        generator: Source of the initial weights.
    """

    def __init__(self, n_behaviors: int, embedding_size: int, generator: torch.Generator) -> None:
        super().__init__()
        bound = math.sqrt(3.0 / embedding_size)
        self.output = nn.Parameter(uniform((n_behaviors, embedding_size), bound, generator))

    def user_part(self, x: Float[Tensor, "n D"]) -> Float[Tensor, "n _"]:
        """Compute what a user brings to all her pairs."""
        return x

    def item_part(self, y: Float[Tensor, "n D"]) -> Float[Tensor, "n _"]:
        """Compute what an item brings to all its pairs."""
        return y

    @abstractmethod
    def combine(self, x: Float[Tensor, "*p _"], y: Float[Tensor, "*q _"]) -> Tensor:
        """Combine the parts of pairs, which may broadcast, to f_k: (*pairs, B)."""

    def scorer(
        self,
        x: Float[Tensor, "U D"],
        y: Float[Tensor, "I D"],
        weights: Float[Tensor, "B"],
        item_bias: Float[Tensor, "I"],
    ) -> Scorer:
        """Return the scorer of sum_k weights_k f_k(u, i) + item_bias_i."""
        users, items = self.user_part(x), torch.cat([self.item_part(y), item_bias[:, None]], 1)

        def combine(mine: Tensor, theirs: Tensor) -> Tensor:
            return self.combine(mine, theirs[..., :-1]) @ weights + theirs[..., -1]

        return PartsScorer(users, items, combine, 2 * self.output.numel())


class GMF(Unit):
    """Generalized matrix factorization without a hidden layer: f_k = h_k (x * y)."""

    def combine(self, x: Float[Tensor, "*p _"], y: Float[Tensor, "*q _"]) -> Tensor:
        """Weigh the products."""
        return (x * y) @ self.output.t()

    def scorer(
        self,
        x: Float[Tensor, "U D"],
        y: Float[Tensor, "I D"],
        weights: Float[Tensor, "B"],
        item_bias: Float[Tensor, "I"],
    ) -> Scorer:
        """Linear in the products: one inner product for all behaviors."""
        return ScoreFactors((x * (weights @ self.output))[:, None], y[:, None], item_bias=item_bias)


class HiddenUnit(Unit):
    """A unit with one hidden layer per behavior: f_k = h_k ReLU(...)."""

    def __init__(self, n_behaviors: int, embedding_size: int, generator: torch.Generator) -> None:
        super().__init__(n_behaviors, embedding_size, generator)
        self._inputs = (embedding_size, n_behaviors * embedding_size)
        self.bias = nn.Parameter(torch.zeros(n_behaviors * embedding_size))

    def weights(self, generator: torch.Generator) -> nn.Parameter:
        """Draw the weights from one input of width D to the hidden layers of all behaviors."""
        return nn.Parameter(uniform(self._inputs, math.sqrt(3.0 / self._inputs[0]), generator))

    def read_out(self, hidden: Float[Tensor, "*pairs _"]) -> Float[Tensor, "*pairs B"]:
        """Apply each behavior's h_k to its own hidden layer."""
        blocks: Tensor = torch.block_diag(*self.output[:, :, None])  # type: ignore[no-untyped-call]
        return hidden.relu() @ blocks


class HiddenGMF(HiddenUnit):
    """f_k = h_k ReLU(W_k (x * y) + c_k)."""

    def __init__(self, n_behaviors: int, embedding_size: int, generator: torch.Generator) -> None:
        super().__init__(n_behaviors, embedding_size, generator)
        self.product_weight = self.weights(generator)

    def combine(self, x: Float[Tensor, "*p _"], y: Float[Tensor, "*q _"]) -> Tensor:
        """Nothing of the hidden layer splits into a user's and an item's share."""
        return self.read_out((x * y) @ self.product_weight + self.bias)


class MLP(HiddenUnit):
    """f_k = h_k ReLU(W_k [x || y] + c_k): the layer's input splits into two shares."""

    def __init__(self, n_behaviors: int, embedding_size: int, generator: torch.Generator) -> None:
        super().__init__(n_behaviors, embedding_size, generator)
        self.user_weight = self.weights(generator)
        self.item_weight = self.weights(generator)

    def user_part(self, x: Float[Tensor, "n D"]) -> Float[Tensor, "n _"]:
        """The user's share of the hidden layers."""
        return x @ self.user_weight

    def item_part(self, y: Float[Tensor, "n D"]) -> Float[Tensor, "n _"]:
        """The item's share, biases included."""
        return torch.addmm(self.bias, y, self.item_weight)

    def combine(self, x: Float[Tensor, "*p _"], y: Float[Tensor, "*q _"]) -> Tensor:
        """Add the shares."""
        return self.read_out(x + y)


class NeuMF(MLP):
    """f_k = h_k ReLU(W_k [x || y || x * y] + c_k)."""

    def __init__(self, n_behaviors: int, embedding_size: int, generator: torch.Generator) -> None:
        super().__init__(n_behaviors, embedding_size, generator)
        self.product_weight = self.weights(generator)

    def user_part(self, x: Float[Tensor, "n D"]) -> Float[Tensor, "n _"]:
        """The embedding, then the share of the hidden layers."""
        return torch.cat([x, super().user_part(x)], 1)

    def item_part(self, y: Float[Tensor, "n D"]) -> Float[Tensor, "n _"]:
        """The embedding, then the share of the hidden layers."""
        return torch.cat([y, super().item_part(y)], 1)

    def combine(self, x: Float[Tensor, "*p _"], y: Float[Tensor, "*q _"]) -> Tensor:
        """Add the shares and the products' part."""
        size = len(self.product_weight)
        products = (x[..., :size] * y[..., :size]) @ self.product_weight
        return self.read_out(x[..., size:] + y[..., size:] + products)


UNITS: dict[UnitName, type[Unit]] = {
    "gmf": GMF,
    "gmf-hidden": HiddenGMF,
    "mlp": MLP,
    "neumf": NeuMF,
}
