"""The steps of the demo: each is what a command does, called from Python."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import polars as pl

from cigf.cli.evaluate import print_evaluation
from cigf.cli.output import print_table, say
from cigf.cli.prepared import print_counts
from cigf.cli.progress import TrainingProgress
from cigf.cli.tables import write_table
from cigf.data.options import PrepareOptions
from cigf.data.prepare import prepare
from cigf.data.synthetic import generate_log
from cigf.experiment.config import load_experiment
from cigf.experiment.evaluating import evaluate_run
from cigf.experiment.training import train_run
from cigf.inference.recommender import TrainedRecommender
from cigf.ranking import Only
from cigf.reports.summary import UserLists, write_summary
from cigf.seeding import numpy_generator

N_USERS, N_ITEMS, N_EVENTS = 2_000, 800, 120_000
N_EXAMPLES = 3
SHOWN = 6
"""Items shown of each behavior of an example."""


class DemoFolder:
    """Names of what the demo writes.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events = path / "events.csv"
        self.dataset = path / "dataset"
        self.run = path / "run"
        self.summary = path / "summary.html"


def make_log(folder: DemoFolder, seed: int) -> None:
    """Generate the log and show its first rows."""
    log = generate_log(N_USERS, N_ITEMS, N_EVENTS, generator=numpy_generator(seed, "generate"))
    write_table(log, folder.events, force=True)
    head = log.head(4).with_columns(pl.from_epoch("timestamp", "ms").dt.to_string("%F %T"))
    print_table(head.columns, head.rows(), title=f"{folder.events}: {log.height:,} events")


def make_dataset(folder: DemoFolder) -> None:
    """Prepare the log."""
    report = prepare(str(folder.events), folder.dataset, PrepareOptions(force=True))
    print_counts(folder.dataset, report)


def learn(folder: DemoFolder, settings: Sequence[str], seed: int) -> None:
    """Train the model."""
    experiment = load_experiment(None, [*settings, f"seed={seed}"])
    with closing(TrainingProgress(experiment.training.metric)) as progress:
        train_run(folder.dataset, folder.run, experiment, force=True, listener=progress)


def judge(folder: DemoFolder) -> None:
    """Evaluate the run and explain the groups."""
    print_evaluation(evaluate_run(folder.run), 10)
    say(
        "touched: the user had viewed or carted the item before; new: a discovery. The rule that\n"
        "puts touched items first brings users back, and finds nothing new: compare both groups."
    )


def recommend(folder: DemoFolder) -> None:
    """Recommend to a few users, show their histories beside, and write the summary."""
    recommender = TrainedRecommender.load(folder.run)
    examples = [_example(recommender, user) for user in _buyers(recommender)]
    for example in examples:
        lists = [*example.history.items(), *example.recommended.items()]
        rows = [(name, ", ".join(items) or "-") for name, items in lists]
        print_table((f"user {example.user}", ""), rows)
    write_summary(folder.run, folder.dataset, folder.summary, examples=examples)


def _buyers(recommender: TrainedRecommender) -> pl.Series:
    """The first users who bought enough to see their taste."""
    counts = np.diff(recommender.artifact.history.target.indptr)
    return recommender.users.filter(pl.Series(counts >= SHOWN)).head(N_EXAMPLES)


def _example(recommender: TrainedRecommender, user: str) -> UserLists:
    did = recommender.history(user)
    deepest_first = recommender.artifact.history.behaviors.names[::-1]
    history = {
        name: did.filter(pl.col("behavior") == name)["item_id"].head(SHOWN).to_list()
        for name in deepest_first
    }
    lists: dict[str, Only] = {"-> bring back": "touched", "-> discover": "new"}
    recommended = {
        name: recommender.recommend([user], SHOWN, only=only)["item_id"].to_list()
        for name, only in lists.items()
    }
    return UserLists(user, history, recommended)
