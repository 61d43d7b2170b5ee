"""CIGF+ once more, slowly: dense matrices and pair by pair, float64."""

import numpy as np

from reference import cigf


def nearness(y, power):
    """S of one behavior: every item's column, nothing cut."""
    n_items = y.shape[1]
    weights = np.maximum(y.sum(1), 1.0) ** -power
    s = np.zeros((n_items, n_items))
    for j in range(n_items):
        for i in range(n_items):
            lengths = (weights * y[:, j]).sum() * (weights * y[:, i]).sum()
            if i != j and lengths > 0:
                s[j, i] = (weights * y[:, j] * y[:, i]).sum() / np.sqrt(lengths)
    return s


def relations(model, matrices):
    """(Y_k S_j)[u, i] of all pairs, (U, I, B, B)."""
    done = [matrix.toarray().astype(np.float64) for matrix in matrices]
    near = [nearness(y, model.config.user_power) for y in done]
    return np.stack([np.stack([y @ s for s in near], -1) for y in done], -2)


def features(model, matrices):
    """Features of all pairs, (U, I, F), and which pairs are touched and lack the target."""
    done = [matrix.toarray().astype(np.float64) for matrix in matrices]
    *others, target = done
    is_open = (sum(others) > 0) & (target == 0)
    n_users, n_items = target.shape
    columns = [*others]

    def of_item(values):
        columns.append(np.tile(values, (n_users, 1)))

    def of_user(values):
        columns.append(np.tile(values[:, None], (1, n_items)))

    for y in done:
        of_item(np.log(1 + y.sum(0)))
    for y in others:
        near = nearness(y, model.config.user_power)
        bought = (y * target).sum(0)
        of_item(np.log(1 + bought))
        of_item(np.log(near.T @ bought + 0.1) - np.log(near.T @ y.sum(0) + 1.0))
    for y in done:
        of_user(np.log(1 + y.sum(1)))
    for y in others:
        of_user(np.log(1 + (y * target).sum(1)))
    related = relations(model, matrices)
    for k in range(len(done)):
        for j in range(len(done)):
            columns.append(np.log(related[:, :, k, j] + 1e-3))
    table = np.stack(columns, -1)
    mean, deviation = table[is_open].mean(0), table[is_open].std(0)
    return (table - mean) / np.where(deviation > 1e-6, deviation, 1.0), is_open


def network(w, x):
    for layer in range(3):
        x = x @ w[f"touched.layers.{layer}.weight"].T + w[f"touched.layers.{layer}.bias"]
        x = np.maximum(x, 0) if layer < 2 else x
    return x[..., 0]


def scores(model, matrices, behavior):
    core = cigf.scores(model.core, matrices, behavior)
    if behavior < len(matrices) - 1:
        return core
    w = cigf.weights_of(model)
    counts = np.stack([np.log(1 + matrix.toarray().sum(0)) for matrix in matrices], -1)
    weights = np.log1p(np.exp(10 * w["relation_weight"]))
    near = np.log(1e-3 + (relations(model, matrices) * weights).sum((2, 3)))
    table, is_open = features(model, matrices)
    pairs = np.where(is_open, network(w, table), 10 * w["sharpness"] * near)
    return w["core_weight"] * core + counts @ (10 * w["count_weight"]) + pairs


def losses(model, matrices, hidden, sampled, batch):
    """The losses of a batch in a rehearsal, user by user.

    `matrices` are the rehearsal's, `hidden` the item that each user hides or -1.
    """
    done = [matrix.toarray() > 0 for matrix in matrices]
    known, touched = np.any(done, axis=0), np.any(done[:-1], axis=0)
    result = []
    for behavior, pairs in enumerate(batch.pairs[:-1]):
        table = cigf.scores(model.core, matrices, behavior)
        terms = []
        for row, item in zip(pairs.rows.tolist(), pairs.positives.tolist(), strict=True):
            user = int(batch.users[row])
            others = [table[user, i] for i in sampled if not done[behavior][user, i]]
            terms.append(cross_entropy(table[user, item], others))
        result.append(model.config.auxiliary_weight * np.mean(terms))
    table, terms = scores(model, matrices, len(matrices) - 1), []
    for user in batch.users.tolist():
        wanted = hidden[user]
        if wanted < 0:
            continue
        drawn = [i for i in sampled if not known[user, i] and i != wanted]
        share = np.log((~known[user]).sum() / max(1, len(drawn)))
        listed = np.flatnonzero(touched[user] & ~done[-1][user])
        others = [table[user, i] + share for i in drawn]
        others += [table[user, i] for i in listed if i != wanted]
        terms.append(cross_entropy(table[user, wanted], others))
    return [*result, np.mean(terms)]


def cross_entropy(positive, others):
    return np.log(np.exp(np.array([positive, *others]) - positive).sum())
