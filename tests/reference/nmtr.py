"""NMTR once more, slowly: one pair after the other, the cascade step by step."""

import numpy as np

from reference.ghcf import weights_of


def outputs(model, w, x, y, k):
    """f_k of one pair, by the unit's printed formula."""
    h, size = w["unit.output"][k], len(x)
    own = slice(k * size, (k + 1) * size)
    layer = {
        "gmf-hidden": ["product"],
        "mlp": ["user", "item"],
        "neumf": ["user", "item", "product"],
    }
    if model.config.unit == "gmf":
        return h @ (x * y)
    fed = {"user": x, "item": y, "product": x * y}
    names = layer[model.config.unit]
    joined = np.concatenate([fed[name] for name in names])
    weight = np.concatenate([w[f"unit.{name}_weight"][:, own] for name in names])
    return h @ np.maximum(joined @ weight + w["unit.bias"][own], 0)


def cascade(f, b, kind):
    """The logits o_1, ..., o_K from the units' outputs and the item's biases."""
    found = []
    for k, each in enumerate(f):
        if kind == "sum":
            found.append(each + b[k] + (found[-1] if found else 0))
        else:
            found.append(b[0] + (0.5 * (each + found[-1]) if found else each))
    return np.array(found)


def logits(model, matrices):
    """All logits, (U, I, B)."""
    w = weights_of(model)
    return np.array(
        [
            [
                cascade(
                    [outputs(model, w, x, y, k) for k in range(len(matrices))],
                    b,
                    model.config.cascade,
                )
                for y, b in zip(w["item_embedding"], w["item_bias"], strict=True)
            ]
            for x in w["user_embedding"]
        ]
    )


def loss(model, matrices, batch):
    """Mean logistic loss of each behavior, times its weight."""
    found = logits(model, matrices)
    truth = np.stack([matrix.toarray() for matrix in matrices], axis=2)
    users = batch.users.numpy()[batch.pairs[0].rows.numpy()]
    m = batch.negatives_per_positive
    pairs = [
        *zip(users[::m], batch.pairs[0].positives.numpy()[::m], strict=True),
        *zip(users, batch.pairs[0].negatives.numpy(), strict=True),
    ]
    total = np.zeros(len(matrices))
    for u, i in pairs:
        p = 1 / (1 + np.exp(-found[u, i]))
        total -= np.where(truth[u, i] > 0, np.log(p), np.log(1 - p))
    given = np.array(model.config.loss_weights or (1.0,) * len(matrices))
    return given / given.sum() * total / len(pairs)
