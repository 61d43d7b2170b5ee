"""Losses of pairs of scores, and of all pairs at once.

Axes: u users of the batch, I items, F width of a factor, n pairs.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import embedding, relu, softplus


def bpr(positive: Float[Tensor, "n"], negative: Float[Tensor, "n"]) -> Float[Tensor, ""]:
    """Bayesian personalized ranking: mean of softplus(-(positive - negative)); 0 without pairs.

    softplus(-x) is -log(sigmoid(x)) without its overflow (Rendle et al., UAI 2009).
    """
    if not len(positive):
        return positive.sum()
    return torch.mean(softplus(negative - positive))


def hinge(positive: Float[Tensor, "n"], negative: Float[Tensor, "n"]) -> Float[Tensor, ""]:
    """Mean of max(0, 1 - (positive - negative)); 0 without pairs."""
    if not len(positive):
        return positive.sum()
    return torch.mean(relu(1.0 - positive + negative))


def whole_data_square(
    user_factors: Float[Tensor, "u F"],
    item_factors: Float[Tensor, "I F"],
    relation: Float[Tensor, "F"],
    rows: Int64[Tensor, "n"],
    positives: Int64[Tensor, "n"],
    negative_weight: float,
) -> Float[Tensor, ""]:
    """Weighted square error of every user with every item, in time linear in users and items.

    With y(u, i) = sum over f of user_factors[u, f] * item_factors[i, f] * relation[f], this is

        sum over positive pairs of (1 - y)^2 + negative_weight * sum over all others of y^2.

    The second sum, taken over all pairs, is an inner product of two Gram matrices, so that no
    (u, I) scores are computed; the positive pairs are then corrected one by one (Chen et al.,
    "Graph Heterogeneous Multi-Relational Recommendation", AAAI 2021, whose loss leaves out the
    constant: the number of positive pairs).

    Args:
        user_factors: One row per user of the batch.
        item_factors: One row per item of the catalog.
        relation: Weight of each factor; ones for a plain inner product.
        rows: Row in `user_factors` of each positive pair's user.
        positives: Item of each positive pair. A user must have all of her positive items here,
            each once: whatever is missing counts as negative.
        negative_weight: Weight of a pair that is not positive, against 1.
    """
    weighted = user_factors * relation
    of_users, of_items = weighted.T @ weighted, item_factors.T @ item_factors
    # `embedding` is a look-up whose gradient is added by rows, faster than that of indexing.
    scores = (embedding(rows, weighted) * embedding(positives, item_factors)).sum(dim=1)
    at_positives = (1.0 - negative_weight) * scores.square() - 2.0 * scores + 1.0
    return at_positives.sum() + negative_weight * (of_users * of_items).sum()


def sampled_softmax(
    positives: Float[Tensor, "n"], sampled: Float[Tensor, "n s"]
) -> Float[Tensor, ""]:
    """Cross-entropy of each positive against items that were sampled; mean, 0 without any.

    Args:
        positives: Score of each positive item.
        sampled: Scores of sampled items, -inf where one is not to count. Add the logarithm of
            what share of the catalog was sampled, so that they stand for all of it.
    """
    total = torch.logaddexp(positives, sampled.logsumexp(1))
    return (total - positives).sum() / max(1, len(positives))


def log_sums(values: Float[Tensor, "m"], owners: Int64[Tensor, "m"], n: int) -> Float[Tensor, "n"]:
    """Return log sum exp of each owner's values; -inf without any.

    Args:
        values: Values of all owners.
        owners: Owner of each, below n.
        n: Number of owners.
    """
    highest = values.new_full((n,), -torch.inf).scatter_reduce(0, owners, values.detach(), "amax")
    finite = highest.clamp(min=torch.finfo(values.dtype).min)
    sums = values.new_zeros(n).index_add(0, owners, (values - finite[owners]).exp())
    return sums.clamp(min=torch.finfo(values.dtype).tiny).log() + highest
