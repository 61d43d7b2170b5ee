"""Losses of pairs of scores."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus


def bpr(positive: Float[Tensor, "n"], negative: Float[Tensor, "n"]) -> Float[Tensor, ""]:
    """Bayesian personalized ranking: mean of softplus(-(positive - negative)); 0 without pairs.

    softplus(-x) is -log(sigmoid(x)) without its overflow (Rendle et al., UAI 2009).
    """
    if not len(positive):
        return positive.sum()
    return torch.mean(softplus(negative - positive))
