"""What each event of a user brings to a score, slowly: dense graphs, one edge at a time."""

import numpy as np

from reference.cigf import adjacency, attention, representations, softmax, weights_of


def gated_weights(model, x, y, task):
    w = weights_of(model)
    logits = np.concatenate([x[task], y[task]]) @ w["head.gate"] + w["head.gate_bias"]
    return softmax(logits)


def event_shares(model, matrices, user, item, task):
    """Share of each (behavior, item) of the user, and of herself: (None, None)."""
    config, w = model.config, weights_of(model)
    n_users = matrices[0].shape[0]
    r = [adjacency(matrix, config.normalization) for matrix in matrices]
    x = np.concatenate([w["user_embedding"], w["item_embedding"]])
    encoded = representations(model, matrices)
    other = _other_side(model, encoded[user], encoded[n_users + item], task)
    found = {(None, None): ((config.n_layers + 1) * x[user] * other).sum()}
    for j, graph in enumerate(r):
        for sender in np.flatnonzero(graph[user]):
            brought = np.zeros_like(encoded[user])
            for layer in range(1, config.n_layers + 1):
                rest = config.n_layers + 1 - layer
                for k in range(len(r)):
                    last = _last_hop(model, w, x, user, layer, k, j, len(r))
                    sent = _sent(model, w, r, x, layer, k)[sender]
                    brought[k] += rest * last * graph[user, sender] * sent
            found[j, int(sender) - n_users] = (brought * other).sum()
    return found


def _other_side(model, x, y, task):
    """What the user's representation is multiplied with, (B, D)."""
    config, w = model.config, weights_of(model)
    if config.head == "mesi":
        return config.score_scale * gated_weights(model, x, y, task)[:, None] * y
    n = len(x)
    fed = {"average": np.full(n, 1 / n), "sum": np.ones(n), "separate": np.eye(n)[task]}
    fed = fed[config.head_input]
    return config.score_scale * fed[:, None] * (fed @ y * w["head.relation"][task])


def _heads(model, w, x, layer, k, n_behaviors):
    return sum(
        attention(model.config, w, x, layer, head, k, n_behaviors)
        for head in range(model.config.n_heads)
    )


def _last_hop(model, w, x, user, layer, k, j, n_behaviors):
    if layer == 1 or model.config.chain != "reference":
        return float(k == j)
    return _heads(model, w, x, layer, k, n_behaviors)[user, j]


def _sent(model, w, r, x, layer, k):
    """The vectors whose neighbors' sum is chain k of a layer."""
    if layer == 1:
        return x
    if model.config.chain == "independent":
        return np.linalg.matrix_power(r[k], layer - 1) @ x
    paper = model.config.chain == "paper"
    z = x if paper else r[k] @ x
    for depth in range(2, layer + 1 if paper else layer):
        a = _heads(model, w, x, depth, k, len(r))
        z = sum(np.diag(a[:, j]) @ r[j] @ z for j in range(len(r)))
    return z
