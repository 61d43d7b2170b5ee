"""NGCF once more, slowly: dense matrices in float64."""

import numpy as np

from reference import graphs


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


def program_layer(x, a, w):
    g = graphs.by_rows(a + np.eye(len(a))) @ x
    passed = leaky(g @ w["weight"] + w["bias"])
    return passed + leaky((x * g) @ w["affinity_weight"] + w["affinity_bias"])


def paper_layer(x, a, w):
    g = graphs.symmetric(a) @ x
    return leaky((g + x) @ w["weight"] + (g * x) @ w["affinity_weight"])


LAYERS = {"program": program_layer, "paper": paper_layer}


def outputs(model, matrices):
    """Every layer's output before it is normalized, the embeddings first."""
    config = model.config
    adjacencies = graphs.choose(matrices, config.graph, config.behavior_weights)
    tables = (model.user_embedding, model.item_embedding)
    x = [np.concatenate([table.detach().numpy().astype(np.float64) for table in tables])]
    for layer in model.layers:
        w = {name: p.detach().numpy().astype(np.float64) for name, p in layer.named_parameters()}
        each = [LAYERS[config.rule](x[-1], a, w) for a in adjacencies]
        x.append(sum(each) / len(each))
    return x


def scores(model, matrices):
    ego, *others = outputs(model, matrices)
    lengths = [np.linalg.norm(x, axis=1, keepdims=True) for x in others]
    normal = [x * graphs.inverse(length) for x, length in zip(others, lengths, strict=True)]
    return graphs.scores_of(np.concatenate([ego, *normal], axis=1), matrices[0].shape[0])
