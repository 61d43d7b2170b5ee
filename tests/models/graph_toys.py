"""The graph of four nodes that is computed by hand, and models put on it."""

import numpy as np
import torch

from cigf.data.dataset import build_matrix
from cigf.graph.bipartite import BehaviorGraph
from cigf.models.base import Sizes
from cigf.models.registry import build_model, parse_model_config
from cigf.testing.toy import random_matrices


def four_nodes():
    """Users 0, 1 and items 0, 1; edges 0-0, 0-1, 1-1."""
    users, items = np.array([0, 0, 1]), np.array([0, 1, 1])
    return BehaviorGraph.build([build_matrix(users, items, (2, 2))])


def on_four_nodes(name, **options):
    """A model with one factor: users 1 and 2, items 3 and 4."""
    config = parse_model_config(name, {"embedding_size": 1, **options})
    model = build_model(name, config, Sizes(2, 2, 1), 0)
    with torch.no_grad():
        model.user_embedding.copy_(torch.tensor([[1.0], [2.0]]))
        model.item_embedding.copy_(torch.tensor([[3.0], [4.0]]))
    return model.eval()


def toy_model(name, n_behaviors=3, **options):
    """A model for the random matrices, with weights that are not small."""
    n_users, n_items = random_matrices()[0].shape
    config = parse_model_config(name, options)
    model = build_model(name, config, Sizes(n_users, n_items, n_behaviors), 0).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.empty_like(parameter).normal_(0, 0.5, generator=generator))
    return model


def copied(model, name, n_behaviors, **options):
    """Another model with the same weights."""
    other = toy_model(name, n_behaviors, **options)
    other.load_state_dict(model.state_dict())
    return other
