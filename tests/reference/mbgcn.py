"""MBGCN once more, slowly: dense matrices, the item graphs built, pair by pair."""

import numpy as np

from reference.ghcf import weights_of


def mean_over(weights, x):
    """Weighted mean of x for every row of weights; 0 where there is nothing."""
    total = weights.sum(1, keepdims=True)
    return weights @ x / np.where(total > 0, total, 1)


def scores(model, matrices):
    w, config = weights_of(model), model.config
    ys = [matrix.toarray().astype(np.float64) for matrix in matrices]
    x, z = w["user_embedding"], w["item_embedding"]
    degrees = np.stack([y.sum(1) for y in ys], 1)
    weighted = degrees * w["behavior_weight"]
    total = weighted.sum(1, keepdims=True)
    alpha = weighted / np.where(total == 0, 1, total)
    x_more = sum(alpha[:, [k]] * mean_over(y, z) for k, y in enumerate(ys)) @ w["weight"]
    z_more = ys[-1].T @ x @ w["weight"]
    found = np.concatenate([x, x_more], 1) @ np.concatenate([z, z_more], 1).T
    for k, y in enumerate(ys):
        graph = y.T @ y
        np.fill_diagonal(graph, 0)
        s = np.concatenate([z, mean_over(graph, z) @ w["shared_weight"][k]], 1)
        projected = mean_over(y, s) @ w["relevance_weight"][k]
        found += config.relevance / len(ys) * projected @ s.T
    return found


def penalty(model, matrices, batch):
    """The L2 term of a batch, without dropout, triple by triple."""
    w = weights_of(model)
    ys = [matrix.toarray().astype(np.float64) for matrix in matrices]
    x, z = w["user_embedding"], w["item_embedding"]
    counted = [w["behavior_weight"][k] * y for k, y in enumerate(ys)]
    x_more = mean_over(sum(counted), z) @ w["weight"]
    z_more = ys[-1].T @ x @ w["weight"]
    users = (np.concatenate([x, x_more], 1) ** 2).sum(1)
    items = (np.concatenate([z, z_more], 1) ** 2).sum(1)
    pairs = batch.pairs[-1]
    mine = batch.users.numpy()[pairs.rows.numpy()]
    total = sum(
        2 * users[u] + items[i] + items[j]
        for u, i, j in zip(mine, pairs.positives.numpy(), pairs.negatives.numpy(), strict=True)
    )
    return model.config.embedding_l2 * total / len(mine)
