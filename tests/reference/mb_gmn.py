"""MB-GMN once more, slowly: dense graphs, one node and one pair at a time, in float64."""

import numpy as np

from reference.graphs import block, symmetric


def phi(x):
    return np.where(x > 0, x, 0.1 * x)


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def weights(model):
    return {name: p.detach().numpy().astype(np.float64) for name, p in model.named_parameters()}


def attend(messages, q, n_heads):
    """One node's messages, (B, D)."""
    out = messages.copy()
    asked = messages @ q
    for head in np.split(np.arange(messages.shape[1]), n_heads):
        for i in range(len(messages)):
            logits = asked[:, head] @ asked[i, head] / np.sqrt(len(head))
            out[i, head] += softmax(logits) @ messages[:, head]
    return out


def transformed(w, behavior, ego, received, n_users, rank):
    size, rows = ego.shape[1], []
    for node, (own, got) in enumerate(zip(ego, received, strict=True)):
        side = int(node >= n_users)
        meta = phi(
            np.concatenate([behavior, own, got]) @ w["transforms.weight"] + w["transforms.bias"]
        )
        u, v = (
            meta @ w["transforms.factor_weight"][side, part]
            + w["transforms.factor_bias"][side, part]
            for part in range(2)
        )
        rows.append(np.concatenate([own @ u.reshape(size, rank) @ v.reshape(rank, size), own]))
    return np.array(rows)


def encode(model, matrices):
    """One (N, D) array for each source."""
    w, config = weights(model), model.config
    n_users = matrices[0].shape[0]
    graphs = [symmetric(block(m.toarray().astype(np.float64))) for m in matrices]
    ego = np.concatenate([w["user_embedding"], w["item_embedding"]])
    outs = []
    for source in range(len(graphs) + 1):
        used = graphs if source == 0 else [graphs[source - 1]]
        received = sum(graph @ ego for graph in used)
        x = transformed(w, w["source_embedding"][source], ego, received, n_users, config.rank)
        out = x.copy()
        for layer in range(config.n_layers):
            messages = np.stack([phi(graph @ x) for graph in used], axis=1)
            if source == 0:
                both = w["attention_weight"][layer]
                x = np.array(
                    [
                        attend(m, both[int(node >= n_users)], config.n_heads).sum(0)
                        for node, m in enumerate(messages)
                    ]
                )
            else:
                x = messages[:, 0] + x
            out += x
        outs.append(out)
    return outs


def pair(w, scale, u, i, source, target):
    """Score of one pair; u and i hold a vector per source."""

    def describe(number):
        p = np.concatenate([u[number] * i[number], u[number], i[number]])
        return p, phi(p @ w["head.weights.0"] + w["head.biases.0"])

    (p, c), (_, t) = describe(source), describe(target)
    g = phi(np.concatenate([c * t, c, t]) @ w["head.weights.1"] + w["head.biases.1"])
    layer, bias, output = (
        g @ w[f"head.weights.{number}"] + w[f"head.biases.{number}"] for number in (2, 3, 4)
    )
    return scale * phi(p @ layer.reshape(len(p), -1) + bias) @ output


def scores(model, matrices, target, source=0):
    w, outs = weights(model), encode(model, matrices)
    n_users, n_items = matrices[0].shape
    return np.array(
        [
            [
                pair(
                    w,
                    model.config.score_scale,
                    [out[u] for out in outs],
                    [out[n_users + i] for out in outs],
                    source,
                    target,
                )
                for i in range(n_items)
            ]
            for u in range(n_users)
        ]
    )
