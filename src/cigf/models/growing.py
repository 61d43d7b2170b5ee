"""A trained model for more users and items: old weights stay, new rows are drawn small."""

import torch

from cigf.config import Config
from cigf.errors import ConfigError
from cigf.models.base import Recommender, Sizes
from cigf.models.direct import DirectRecommender
from cigf.models.registry import build_model

NEW_ROWS = 0.1
"""Factor of the draws of a fresh model that new rows begin with. A new node is mostly what its
neighbors make of it, but two that are zero could never learn from each other."""


@torch.no_grad()
def grow_model(
    model: Recommender, name: str, config: Config, sizes: tuple[Sizes, Sizes], seed: int
) -> Recommender:
    """Return a model of the new sizes with the old one's weights.

    A model that is computed in one go has nothing to keep: it will be computed anew.

    Args:
        model: The trained model.
        name: Its name in the registry.
        config: Its options.
        sizes: The old and the new sizes: old rows come first.
        seed: Of the new rows.

    Raises:
        ConfigError: Its weights depend on the number of users or items in another way than by
            one row for each.
    """
    old, new = sizes
    grown = build_model(name, config, new, seed)
    if isinstance(model, DirectRecommender):
        return grown
    state = model.state_dict()
    for key, fresh in grown.state_dict().items():
        trained = state[key]
        if fresh.shape == trained.shape:
            fresh.copy_(trained)
        elif _is_longer(fresh.shape, trained.shape, old, new):
            fresh.mul_(NEW_ROWS)
            fresh[: len(trained)] = trained
        else:
            raise ConfigError(
                f"{name} cannot grow to {new.n_users:,} users and {new.n_items:,} items: its "
                f"{key} has the shape {tuple(trained.shape)}, not a row for each; train a new one "
                "with cigf train"
            )
    return grown


def _is_longer(fresh: torch.Size, trained: torch.Size, old: Sizes, new: Sizes) -> bool:
    rows = {(old.n_users, new.n_users), (old.n_items, new.n_items)}
    return fresh[1:] == trained[1:] and (trained[0], fresh[0]) in rows
