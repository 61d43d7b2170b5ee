"""Rules and closed forms once more, slowly: dense matrices in float64."""

import numpy as np


def weighted(matrices, weights=(1, 3, 5)):
    return sum(w * m.toarray().astype(np.float64) for w, m in zip(weights, matrices, strict=True))


def cosines(w):
    """Cosines of the columns; 0 with an empty one."""
    lengths = np.sqrt((w**2).sum(0))
    products = w.T @ w
    scale = np.outer(lengths, lengths)
    return np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)


def knn_scores(matrices, n, with_itself):
    w = weighted(matrices)
    similarity = cosines(w)
    np.fill_diagonal(similarity, 0.0)
    for item, row in enumerate(similarity):
        # Single precision, as the model's: nearly equal cosines are equal there.
        order = np.argsort(-row.astype(np.float32), kind="stable")
        similarity[item, order[n:]] = 0.0
    if with_itself:
        np.fill_diagonal(similarity, 1.0)
    return w @ similarity


def ease_scores(matrices, l2):
    """Each item's column by ridge regression on all other items' columns, one at a time."""
    w = weighted(matrices)
    n_items = w.shape[1]
    scores = np.zeros_like(w)
    for item in range(n_items):
        others = np.arange(n_items) != item
        x, y = w[:, others], w[:, item]
        scores[:, item] = x @ np.linalg.solve(x.T @ x + l2 * np.eye(n_items - 1), x.T @ y)
    return scores


def order_by(values):
    """How many items come after each: larger values first, then smaller numbers."""
    n = len(values)
    return np.array([sum((values[j], -j) < (values[i], -i) for j in range(n)) for i in range(n)])


def popularity_scores(matrices, behavior):
    order = order_by(matrices[behavior].toarray().sum(0))
    return np.tile(order.astype(np.float64), (matrices[0].shape[0], 1))


def conversion_scores(matrices, behavior, prior):
    """Touched items by conversion over all others, which stand by popularity."""
    dense = [matrix.toarray() > 0 for matrix in matrices]
    done = dense[behavior]
    others = [y for k, y in enumerate(dense) if k != behavior]
    looked = others[0].sum(0)
    mean = done.sum() / looked.sum()
    popular = order_by(done.sum(0))
    rate = (done.sum(0) + prior * mean) / np.maximum(1, looked + prior)
    best = [
        sorted(range(len(rate)), key=lambda i: (rate[i], popular[i])).index(i)
        for i in range(len(rate))
    ]
    touched = np.any(others, axis=0) & ~done
    return np.where(touched, len(rate) + np.array(best), popular)
