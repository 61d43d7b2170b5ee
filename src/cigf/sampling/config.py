"""Options of the samplers."""

from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from cigf.config import Config

Unit = Literal["users", "interactions"]

SubgraphName = Literal["none", "budget", "neighbors"]


class SamplingConfig(Config):
    """What an epoch and a step see; defaults are the published program's."""

    unit: Unit = "users"
    """What an epoch visits: users, each with some of her pairs, or every interaction once."""
    users_per_epoch: PositiveInt = 10_000
    """Users drawn without replacement per epoch (all, where there are fewer); by users only."""
    batch_size: PositiveInt = 256
    """Users, or (at most) target interactions, per optimizer step."""
    positives_per_user: NonNegativeInt = 40
    """Most positives drawn per user and behavior, with replacement; 0 takes each of her
    interactions once. By users only."""
    negatives_per_positive: NonNegativeInt = 1
    """Negatives drawn for each positive; 0 only where the model's loss needs none."""
    subgraph: SubgraphName = "none"
    """Steps see the whole graph, or a sub-graph around their users: one that grows by nodes drawn
    by how strongly the nodes in it point to them (the published one), or by sampled neighbors. By
    users only."""
    users_per_subgraph: PositiveInt = 10_000
    """Users whose batches share a sub-graph."""
    subgraph_rounds: PositiveInt = 2
    """How often a sub-graph grows by users and by items."""
    subgraph_nodes: PositiveInt = 40_000
    """Users, and items, that a round adds by budget."""
    neighbors_per_node: PositiveInt = 10
    """Most neighbors that a round draws for each new node and behavior; by neighbors only."""
