"""MATN once more, slowly: one user and one behavior at a time in float64."""

import numpy as np


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def relu(x):
    return np.maximum(x, 0.0)


def scores(model, matrices):
    w = {name: p.detach().numpy().astype(np.float64) for name, p in model.named_parameters()}
    y = [matrix.toarray().astype(np.float64) for matrix in matrices]
    users = [user(w, [each[u] for each in y], model.config.n_heads) for u in range(len(y[0]))]
    return np.array(users) @ w["output_embedding"].T


def user(w, rows, n_heads):
    bags = [row @ w["input_embedding"] for row in rows]
    size = len(bags[0])
    made = []
    for k, own in enumerate(bags):
        q, keys, values = own @ w["attention_weight"][0, k] + w["attention_bias"][0, k], [], []
        for other in bags:
            keys.append(other @ w["attention_weight"][1, k] + w["attention_bias"][1, k])
            values.append(other @ w["attention_weight"][2, k] + w["attention_bias"][2, k])
        attended = np.zeros(size)
        for head in np.split(np.arange(size), n_heads):
            weights = softmax(np.array([2 * q[head] @ key[head] for key in keys]))
            attended[head] = sum(a * v[head] for a, v in zip(weights, values, strict=True))
        r = attended + own + own
        address = relu(r @ w["address_weight"][k] + w["address_bias"][k])
        transform = np.tensordot(address, w["memory"], 1)
        made.append(r @ transform)
    g = softmax(2 * w["behavior_logit"]) @ np.array(made)
    for layer in range(2):
        g = g + relu(g @ w["deep_weight"][layer] + w["deep_bias"][layer])
    return g
