"""An artifact of a small shop, for benchmarks in which speed does not depend on the model."""

from pathlib import Path

import numpy as np
import polars as pl
import torch

from cigf.data.behaviors import Behaviors
from cigf.data.dataset import Dataset, build_matrix
from cigf.data.ids import IdMap
from cigf.graph.bipartite import BehaviorGraph
from cigf.inference.artifact import save_artifact
from cigf.models.base import Sizes
from cigf.models.registry import build_model, parse_model_config

BEHAVIORS = ("view", "cart", "buy")


def small_artifact(path: Path, n_users: int = 500, n_items: int = 300) -> Path:
    """Write the artifact of an untrained CIGF; users u0, u1, ..., items i0, i1, ..."""
    generator = np.random.default_rng(0)
    matrices = []
    for density in (0.03, 0.01, 0.005):
        users, items = np.nonzero(generator.random((n_users, n_items)) < density)
        matrices.append(build_matrix(users, items, (n_users, n_items)))
    ids = [
        IdMap(pl.Series("id", [f"{kind[0]}{row}" for row in range(n)]), kind)
        for kind, n in (("user", n_users), ("item", n_items))
    ]
    history = Dataset(Behaviors(BEHAVIORS), ids[0], ids[1], tuple(matrices), (None,) * 3)
    config = parse_model_config("cigf", {})
    model = build_model("cigf", config, Sizes(n_users, n_items, 3), seed=0)
    with torch.no_grad():
        graph = BehaviorGraph.build(history.interactions)
        encoded, memory = model.encode(graph), model.remember(graph)
    save_artifact(
        path,
        model=model,
        model_name="cigf",
        config=config.model_dump(mode="json"),
        representations=encoded,
        history=history,
        memory=memory,
    )
    return path
