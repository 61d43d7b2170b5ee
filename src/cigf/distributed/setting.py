"""Where a model is trained when it is trained on several ranks: what differs from one process."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from cigf.data.dataset import Matrix
from cigf.data.tasks import RankCounts, RankingTask
from cigf.distributed.checkpoints import RankCheckpoints
from cigf.distributed.exchange import Ranks
from cigf.distributed.graph import RankGraph
from cigf.distributed.model import RankModel
from cigf.distributed.partition import Partition
from cigf.distributed.ranking import rank_own_users
from cigf.distributed.trainer import RankTrainer
from cigf.models.base import Recommender
from cigf.training.trainer import Trainer


class RankSetting:
    """A rank's part of the data, and what trains on it.

    Args:
        interactions: Training pairs of all nodes, one matrix per behavior.
        ranks: The ranks.
        device: Where to compute.
    """

    def __init__(
        self, interactions: Sequence[Matrix], ranks: Ranks, device: torch.device | str
    ) -> None:
        self.ranks = ranks
        self.partition = Partition.by_edges(interactions, ranks.size)
        self.graph = RankGraph.of(interactions, self.partition, ranks, device)

    def model(self, whole: Recommender) -> RankModel:
        """Keep a rank's rows of a model.

        Raises:
            ConfigError: The model cannot be partitioned.
        """
        return RankModel(whole, self.partition, self.ranks)

    def checkpoints(self, folder: Path, fingerprint: str) -> RankCheckpoints:
        """Return the run's checkpoints."""
        return RankCheckpoints(folder, fingerprint, self.ranks)

    def trainer(self) -> Callable[..., Trainer]:
        """Return what builds the loop."""
        return partial(RankTrainer, self.ranks)

    @torch.no_grad()
    def rank_counts(self, model: RankModel, behavior: int, task: RankingTask) -> RankCounts:
        """Rank a task's pairs, every rank those of its users."""
        scorer = model.scorer(model.represent(self.graph), behavior)
        return rank_own_users(scorer, task, self.partition.users, self.ranks)
