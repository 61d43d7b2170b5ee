"""The exact terms of CIGF+: what it adds to the core's score, each of which can be left out.

Axes: n pairs, u users, B behaviors, F features of a pair, G of a user, E networks.
"""

import math
from collections.abc import Collection, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from cigf.nn.pair_network import PairNetwork

LEVEL_SIZE = 16
"""Width of the two hidden layers of the network for the level of a user's list."""

EMPTY = -10.0
"""Stands for the logarithm of an empty list's sum."""

SMALLEST = 1e-3
"""Added to a relation before its logarithm is taken: eps."""

QUICK = 10.0
"""How much faster the few single weights move than the networks' under equal steps."""

Term = Literal["core", "popularity", "nearness", "level"]
"""Terms of the target's score that can be left out."""


class PairTerms(nn.Module):
    """Weights and networks of single pairs.

    Args:
        n_behaviors: B.
        told: Which of the F features of a touched pair its network may read.
        n_user_features: G.
        hidden_size: Width of the networks for touched pairs.
        n_networks: E, how many such networks there are.
        without: Terms that are left out.
        generator: Source of the initial weights.
    """

    _told: Tensor

    def __init__(
        self,
        n_behaviors: int,
        told: Sequence[bool],
        n_user_features: int,
        hidden_size: int,
        n_networks: int,
        without: Collection[str],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self._without = frozenset(without)
        self.relation_weight = nn.Parameter(torch.zeros(n_behaviors, n_behaviors))
        self.sharpness = nn.Parameter(torch.full((), math.log(math.e - 1) / QUICK))
        self.core_weight = nn.Parameter(torch.full((), 0.1))
        self.count_weight = nn.Parameter(torch.zeros(n_behaviors))
        self.register_buffer("_told", torch.tensor(told).float(), persistent=False)
        self.touched = nn.ModuleList(
            PairNetwork(len(told), hidden_size, generator, offset=False) for _ in range(n_networks)
        )
        self.level = PairNetwork(n_user_features + 1, LEVEL_SIZE, generator)

    def _has(self, term: Term) -> float:
        """Return the factor of a term: 0 where it is left out."""
        return float(term not in self._without)

    @property
    def core_factor(self) -> Float[Tensor, ""]:
        """Factor of the core's score."""
        return self.core_weight * self._has("core")

    @property
    def relation_weights(self) -> Float[Tensor, "B B"]:
        """Weights of the relations in the nearness, positive."""
        return softplus(QUICK * self.relation_weight)

    @property
    def gamma(self) -> Float[Tensor, ""]:
        """Factor of the nearness, positive."""
        return softplus(QUICK * self.sharpness) * self._has("nearness")

    def nearness(self, relations: Float[Tensor, "*n B B"]) -> Float[Tensor, "*n"]:
        """Compute gamma log(eps + sum_kj w_kj r_kj)."""
        total = relations.flatten(-2) @ self.relation_weights.flatten()
        return self.gamma * torch.log(total + SMALLEST)

    def popularity(self, counts: Float[Tensor, "n B"]) -> Float[Tensor, "n"]:
        """Compute <beta, log(1 + n_i)>."""
        return counts @ (QUICK * self.count_weight) * self._has("popularity")

    def in_list(self, features: Float[Tensor, "n F"]) -> Float[Tensor, "n E"]:
        """Compute each network's scores of touched pairs; their mean is what ranks."""
        told = features * self._told
        return torch.stack([network(told) for network in self.touched], dim=1)

    def level_of(
        self, features: Float[Tensor, "u G"], mass: Float[Tensor, "u"]
    ) -> Float[Tensor, "u"]:
        """Compute log sum exp of the scores that the users' lists are to have.

        How good a list looks, its own log sum, is part of what decides, and learns nothing here.

        Args:
            features: What is known of the users.
            mass: log sum exp of the mean of `in_list` over each one's open pairs.
        """
        seen = mass.detach().clamp(min=EMPTY) * self._has("level")
        known = features * self._has("level")
        ahead: Tensor = self.level(torch.cat([known, seen[:, None]], 1))
        return ahead + seen
