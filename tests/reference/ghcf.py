"""GHCF once more, slowly: dense matrices, float64, the loss summed pair by pair."""

import numpy as np

from reference.cigf import adjacency


def weights_of(model):
    return {k: v.detach().numpy().astype(np.float64) for k, v in model.state_dict().items()}


def coefficients(model, n_behaviors):
    given = model.config.coefficients or (1,) * n_behaviors
    return [c / sum(given) for c in given]


def encoded(model, matrices):
    """The nodes' means (N, D) and the relations' (B, D), over the layers."""
    w = weights_of(model)
    graphs = [adjacency(matrix, "symmetric") for matrix in matrices]
    c = coefficients(model, len(matrices))
    e = np.concatenate([w["user_embedding"], w["item_embedding"]])
    r = w["relation_embedding"]
    nodes, relations = [e], [r]
    for layer in range(model.config.n_layers):
        total = 0
        for k, s in enumerate(graphs):
            z = ((s @ e) * r[k]) @ w["node_weight"][layer]
            total = total + c[k] * np.where(z > 0, z, 0.2 * z)
        e, r = total, r @ w["relation_weight"][layer]
        nodes.append(e)
        relations.append(r)
    return sum(nodes) / len(nodes), sum(relations) / len(relations)


def scores(model, matrices, behavior):
    nodes, relations = encoded(model, matrices)
    users, items = np.split(nodes, [matrices[0].shape[0]])
    return np.array([[(x * z * relations[behavior]).sum() for z in items] for x in users])


def loss(model, matrices, users):
    """The whole loss of a batch of users, pair by pair."""
    config = model.config
    nodes, _ = encoded(model, matrices)
    n_users, n_items = matrices[0].shape
    total = 0.5 * config.embedding_l2 * ((nodes[users] ** 2).sum() + (nodes[n_users:] ** 2).sum())
    for k, c in enumerate(coefficients(model, len(matrices))):
        y, found = matrices[k].toarray(), scores(model, matrices, k)
        for u in users:
            for i in range(n_items):
                missed = (1 - found[u, i]) ** 2
                total += c * (missed if y[u, i] else config.negative_weight * found[u, i] ** 2)
    return total
