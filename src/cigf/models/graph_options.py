"""Options of the models that propagate over one graph, and with them their multi-behavior forms."""

from pydantic import PositiveFloat

from cigf.config import ModelConfig
from cigf.data.dataset import Dataset
from cigf.graph.adjacency import GraphName
from cigf.models.several import check_shares


class GraphConfig(ModelConfig):
    """Which graph is propagated over."""

    graph: GraphName = "target"
    """Edges that are propagated along: the target's, those of any behavior (union), every
    behavior's added up (weighted), or the mean over the behaviors' graphs (per-behavior)."""
    behavior_weights: tuple[PositiveFloat, ...] = ()
    """Weights of the behaviors' edges in the weighted graph, the target's last; empty for equal
    ones."""


def check_weights(config: GraphConfig, dataset: Dataset) -> None:
    """Refuse weights that are not one for each behavior.

    Raises:
        ConfigError: There are more, or fewer.
    """
    check_shares("behavior_weights", config.behavior_weights, dataset)
