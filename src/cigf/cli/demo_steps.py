"""The steps of the demo: each is what a command does, called from Python."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import polars as pl

from cigf.cli.evaluate import print_evaluation
from cigf.cli.output import print_table, say
from cigf.cli.prepared import print_counts
from cigf.cli.progress import TrainingProgress
from cigf.cli.writing import write_table
from cigf.data.options import PrepareOptions
from cigf.data.prepare import prepare
from cigf.data.synthetic import generate_log
from cigf.experiment.config import load_experiment
from cigf.experiment.evaluating import evaluate_run
from cigf.experiment.reporting import write_report
from cigf.experiment.training import train_run
from cigf.seeding import numpy_generator

N_USERS, N_ITEMS, N_EVENTS = 2_000, 800, 120_000
N_EXAMPLES = 3


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
        self.report = path / "report.html"


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
    """Write the report, and show some of its users with their histories and lists."""
    facts = write_report(folder.run, folder.report, n_users=N_EXAMPLES)
    for example in facts.users:
        lists = {**example.history, **{f"-> {n}": ids for n, ids in example.recommended.items()}}
        rows = [(name, ", ".join(items) or "-") for name, items in lists.items()]
        print_table((f"user {example.user}", ""), rows)
