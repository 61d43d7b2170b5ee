"""DIPN's adaptation once more, slowly: one user at a time in float64."""

import numpy as np


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru(w, prefix, sequence):
    """States of torch's GRU: reset, update and new gates, in that order."""
    w_in, w_state = w[f"{prefix}.weight_ih_l0"], w[f"{prefix}.weight_hh_l0"]
    b_in, b_state = w[f"{prefix}.bias_ih_l0"], w[f"{prefix}.bias_hh_l0"]
    h, states = np.zeros(w_state.shape[1]), []
    for x in sequence:
        i_reset, i_update, i_new = np.split(w_in @ x + b_in, 3)
        h_reset, h_update, h_new = np.split(w_state @ h + b_state, 3)
        update = sigmoid(i_update + h_update)
        new = np.tanh(i_new + sigmoid(i_reset + h_reset) * h_new)
        h = (1 - update) * new + update * h
        states.append(h)
    return states


def attend(w, prefix, vectors):
    logits = [
        np.tanh(x @ w[f"{prefix}.weight"] + w[f"{prefix}.bias"]) @ w[f"{prefix}.vector"][:, 0]
        for x in vectors
    ]
    return softmax(np.array(logits)) @ np.array(vectors)


def scores(model, sequences, behavior):
    """Scores of all users; sequences[k][u] are the items of user u under behavior k, in order."""
    w = {name: p.detach().numpy().astype(np.float64) for name, p in model.named_parameters()}
    return np.array(
        [
            user(model.config, w, [each[u] for each in sequences], behavior)
            for u in range(len(sequences[0]))
        ]
    )


def user(config, w, sequences, behavior):
    z, read = w["item_embedding"], []
    for k, items in enumerate(sequences):
        if len(items):
            vectors = list(z[items])
            if config.encoder == "gru":
                vectors = gru(w, f"encoders.{k}.gru", z[items[-config.sequence_length :]])
            read.append(attend(w, f"encoders.{k}.attention", vectors))
    g = attend(w, "attention", read) if read else np.zeros(z.shape[1])
    task = g @ w["task_weight"][behavior] + w["task_bias"][behavior]
    return z @ (g + np.maximum(task, 0))
