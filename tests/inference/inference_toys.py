import numpy as np
import polars as pl
import torch

from cigf.data.behaviors import Behaviors
from cigf.data.dataset import Dataset, build_matrix
from cigf.data.holdouts import difference
from cigf.data.ids import IdMap
from cigf.graph.bipartite import BehaviorGraph
from cigf.inference.artifact import load_artifact, save_artifact
from cigf.models.base import Sizes
from cigf.models.direct import DirectRecommender
from cigf.models.registry import MODELS, build_model, parse_model_config

N_USERS, N_ITEMS, N_BEHAVIORS = 11, 7, 3
CONFIG = {"embedding_size": 5, "n_layers": 2}
OPTIONS = {"dipn": {"encoder": "set"}}  # its other encoder needs times
EVERY = [(name, OPTIONS.get(name, {})) for name in MODELS]


def random_history(seed=0, user_ids=None, item_ids=None):
    generator = np.random.default_rng(seed)
    matrices = []
    for density in (0.5, 0.3, 0.2):
        users, items = np.nonzero(generator.random((N_USERS, N_ITEMS)) < density)
        matrices.append(build_matrix(users, items, (N_USERS, N_ITEMS)))
    users = pl.Series("id", user_ids or [f"u{row}" for row in range(N_USERS)])
    items = pl.Series("id", item_ids or [100 + row for row in range(N_ITEMS)])
    return Dataset(
        Behaviors(("view", "add/cart", "buy")),
        IdMap(users, "user"),
        IdMap(items, "item"),
        tuple(matrices),
        (None,) * N_BEHAVIORS,
    )


def write_artifact(path, history, seed=0, config=CONFIG, **options):
    config = parse_model_config("cigf", config)
    model = build_model("cigf", config, Sizes(N_USERS, N_ITEMS, N_BEHAVIORS), seed)
    learned = history.interactions
    if "withheld" in options:
        learned = difference(learned, options["withheld"])
    with torch.no_grad():
        graph = BehaviorGraph.build(learned, torch.device("cpu"))
        encoded, memory = model.encode(graph), model.remember(graph)
    save_artifact(
        path,
        model=model,
        model_name="cigf",
        config=config.model_dump(mode="json"),
        representations=encoded,
        history=history,
        memory=memory,
        metadata={"seed": seed},
        **options,
    )
    return model, encoded


def make(path, name, config):
    """The artifact of an untrained model, or of one that is computed in one go."""
    history, options = random_history(), parse_model_config(name, config)
    model = build_model(name, options, Sizes(N_USERS, N_ITEMS, 3), 0).eval()
    graph = BehaviorGraph.build(history.interactions)
    if isinstance(model, DirectRecommender):
        model.fit(graph, 0, lambda: None)
    with torch.no_grad():
        encoded = model.encode(graph)
    plain = options.model_dump(mode="json")
    save_artifact(
        path,
        model=model,
        model_name=name,
        config=plain,
        representations=encoded,
        history=history,
    )
    return load_artifact(path)
