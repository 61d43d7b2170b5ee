"""LightGCN once more, slowly: dense matrix powers in float64."""

import numpy as np

from reference import graphs


def scores(model, matrices):
    config = model.config
    adjacencies = graphs.choose(matrices, config.graph, config.behavior_weights)
    step = sum(graphs.symmetric(a) for a in adjacencies) / len(adjacencies)
    tables = (model.user_embedding, model.item_embedding)
    ego = np.concatenate([table.detach().numpy().astype(np.float64) for table in tables])
    powers = [np.linalg.matrix_power(step, n) @ ego for n in range(config.n_layers + 1)]
    return graphs.scores_of(sum(powers) / len(powers), matrices[0].shape[0])
