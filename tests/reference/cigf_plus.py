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


def relations(model, matrices, power=1):
    """(Y_k S_j)[u, i] of all pairs, (U, I, B, B), every entry of S_j to a power."""
    done = [matrix.toarray().astype(np.float64) for matrix in matrices]
    near = [nearness(y, model.config.user_power) ** power for y in done]
    return np.stack([np.stack([y @ s for s in near], -1) for y in done], -2)


def coordinates(model, others):
    """Leading right singular vectors of D_u^-1/2 Y D_i^-1/2, times sqrt(sigma); (I, C)."""
    sizes = [max(1, y.sum()) for y in others]
    total = sum(y * (min(sizes) / size) ** 0.5 for y, size in zip(others, sizes, strict=True))
    users, items = (np.where(x > 0, x, 1.0) for x in (total.sum(1), total.sum(0)))
    _, values, vectors = np.linalg.svd(total / np.sqrt(users[:, None] * items))
    table = np.zeros((total.shape[1], model.config.n_coordinates))
    for c in range(min(len(values), table.shape[1])):
        if values[c] > 1e-5 * values[0]:
            x = vectors[c] * np.sqrt(values[c])
            x = x * np.sign((x**3).sum())
            table[:, c] = np.sign(x) * np.log(1 + np.abs(x) / np.abs(x).mean())
    return table


def features(model, matrices):
    """Features of all pairs, (U, I, F), and which pairs are touched and lack the target."""
    done = [matrix.toarray().astype(np.float64) for matrix in matrices]
    *others, target = done
    is_open = (sum(others) > 0) & (target == 0)
    n_users, n_items = target.shape
    of_items, of_users = [np.log(1 + y.sum(0)) for y in done], [np.log(1 + y.sum(1)) for y in done]
    for y in others:
        near = nearness(y, model.config.user_power)
        bought = (y * target).sum(0)
        around = np.log(near.T @ bought + 0.1) - np.log(near.T @ y.sum(0) + 1.0)
        of_items += [np.log(1 + bought), around]
        of_users.append(np.log(1 + (y * target).sum(1)))
    columns = [*others]
    columns += [np.tile(values, (n_users, 1)) for values in of_items]
    columns += [np.tile(values[:, None], (1, n_items)) for values in of_users]
    related = np.log(relations(model, matrices, 4) + 1e-8) / 4
    columns += list(np.moveaxis(related.reshape(n_users, n_items, -1), -1, 0))
    columns += [np.tile(x, (n_users, 1)) for x in coordinates(model, others).T]
    table = np.stack(columns, -1)
    mean, deviation = table[is_open].mean(0), table[is_open].std(0)
    return (table - mean) / np.where(deviation > 1e-5, deviation, 1.0), is_open


def user_features(matrices, is_open):
    """What decides the level of a user's list, (U, G)."""
    *others, target = (matrix.toarray() for matrix in matrices)
    counts = [y.sum(1) for y in [*others, target]] + [is_open.sum(1)]
    table = np.log(1 + np.stack(counts + [(y * target).sum(1) for y in others], -1))
    deviation = table.std(0)
    return (table - table.mean(0)) / np.where(deviation > 1e-5, deviation, 1.0)


def network(w, x, name):
    for layer in range(3):
        x = x @ w[f"terms.{name}.layers.{layer}.weight"].T
        x = x + w.get(f"terms.{name}.layers.{layer}.bias", 0.0)
        x = np.maximum(x, 0) if layer < 2 else x
    return x[..., 0]


def new_scores(model, matrices):
    """The target's scores as they are where a pair is new, (U, I)."""
    w = cigf.weights_of(model)
    core = cigf.scores(model.core, matrices, len(matrices) - 1)
    counts = np.stack([np.log(1 + matrix.toarray().sum(0)) for matrix in matrices], -1)
    weights = np.log1p(np.exp(10 * w["terms.relation_weight"]))
    near = np.log(1e-3 + (relations(model, matrices) * weights).sum((2, 3)))
    gamma = np.log1p(np.exp(10 * w["terms.sharpness"]))
    return w["terms.core_weight"] * core + counts @ (10 * w["terms.count_weight"]) + gamma * near


def lists(model, matrices):
    """Open pairs (U, I), what each network says of them, and each list's log sum and level (U,).

    The last two are of the networks' mean.
    """
    w = cigf.weights_of(model)
    table, is_open = features(model, matrices)
    known = user_features(matrices, is_open)
    names = [f"touched.{e}" for e in range(model.config.n_networks)]
    found = [np.where(is_open, network(w, table, name), -np.inf) for name in names]
    with np.errstate(divide="ignore"):
        mass = np.log(np.exp(sum(found) / len(found)).sum(1))
    seen = np.maximum(mass, -10.0)
    level = network(w, np.concatenate([known, seen[:, None]], 1), "level") + seen
    return is_open, found, mass, level


def scores(model, matrices, behavior):
    if behavior < len(matrices) - 1:
        return cigf.scores(model.core, matrices, behavior)
    is_open, listed, mass, level = lists(model, matrices)
    shift = np.where(is_open.any(1), level - mass, 0.0)
    mean = sum(listed) / len(listed)
    return np.where(is_open, mean + shift[:, None], new_scores(model, matrices))


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
    new, terms = new_scores(model, matrices), []
    is_open, listed, _mass, level = lists(model, matrices)
    for user in batch.users.tolist():
        wanted = hidden[user]
        if wanted < 0:
            continue
        is_new = not touched[user, wanted]
        drawn = [i for i in sampled if not known[user, i] and i != wanted]
        share = np.log((~known[user]).sum() / max(1, len(drawn)))
        others = [new[user, i] + share for i in drawn] + [new[user, wanted]] * is_new
        rest = np.log(np.exp(others).sum())
        rows = [each[user] for each in listed]
        missed = np.mean([np.log(np.exp(row).sum()) - row[wanted] for row in rows])
        term = rest - new[user, wanted] if is_new else missed
        if is_open[user].any():
            gap = level[user] - rest
            term += np.log(1 + np.exp(gap if is_new else -gap))
        terms.append(term)
    return [*result, np.mean(terms)]


def cross_entropy(positive, others):
    return np.log(np.exp(np.array([positive, *others]) - positive).sum())
