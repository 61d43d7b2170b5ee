"""What is refused before anything is trained, or written: options that do not go together."""

from cigf.data.dataset import Dataset
from cigf.data.splitting import Split
from cigf.distributed.model import check_divisible
from cigf.errors import ConfigError
from cigf.experiment.config import ExperimentConfig
from cigf.models.base import Recommender, Sizes
from cigf.models.registry import build_model, check_model
from cigf.sampling.build import check_sampling


def learned_from(split: Split, config: ExperimentConfig) -> Dataset:
    """Return the data that a run learns from."""
    return split.train if config.data.train_on == "train" else split.history("test")


def check_run(config: ExperimentConfig, learned: Dataset, *, on_ranks: bool = False) -> None:
    """Refuse a run that cannot be.

    Args:
        config: Its options.
        learned: What it learns from.
        on_ranks: Whether several ranks share it.

    Raises:
        ConfigError: The model cannot take the data, cannot be trained on the sub-graphs that are
            asked for, or cannot be shared by ranks.
    """
    check_model(config.model_name, config.model, learned)
    subgraph = config.sampling.subgraph
    if subgraph == "none" and not on_ranks:
        return
    if subgraph != "none" and on_ranks:
        raise ConfigError(
            f"sampling.subgraph: {subgraph!r} is not supported on several ranks, "
            "which share the whole graph; set it to 'none', or train without torchrun"
        )
    model = _smallest(config, len(learned.behaviors))
    if on_ranks:
        check_divisible(model)
    elif not model.node_tables:
        raise ConfigError(
            f"sampling.subgraph: model {config.model_name!r} cannot be trained on sub-graphs, "
            "because its weights are not one row per node; set it to 'none'"
        )
    check_sampling(config.sampling)


def _smallest(config: ExperimentConfig, n_behaviors: int) -> Recommender:
    """Build the model for one user and item: what it can do does not depend on how many."""
    return build_model(config.model_name, config.model, Sizes(1, 1, n_behaviors), 0)
