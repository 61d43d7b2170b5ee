"""DMF once more, slowly: dense rows, one pair at a time, in float64."""

import numpy as np

from cigf.data.dataset import Matrix


def tower(module, rows):
    weights = [p.detach().numpy().astype(np.float64) for p in module.weights]
    biases = [p.detach().numpy().astype(np.float64) for p in module.biases]
    h = rows @ weights[0]
    for weight, bias in zip(weights[1:], biases, strict=True):
        h = np.maximum(h @ weight + bias, 0)
    return h


def scores(model, matrices: list[Matrix]):
    y = matrices[-1].toarray().astype(np.float64)
    users, items = tower(model.user_tower, y), tower(model.item_tower, y.T)
    result = np.zeros(y.shape)
    for u, p in enumerate(users):
        for i, q in enumerate(items):
            lengths = np.linalg.norm(p) * np.linalg.norm(q)
            result[u, i] = p @ q / lengths if lengths > 0 else 0.0
    return result
