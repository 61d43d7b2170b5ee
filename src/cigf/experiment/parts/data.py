"""What the data hold."""

from functools import partial

from cigf.data.describe import describe
from cigf.experiment.experiments import Experiment
from cigf.experiment.parts.context import Context, cells_of
from cigf.reports.figures import draw_activity, draw_overlaps
from cigf.reports.page import Table
from cigf.reports.reproduction import Part


def activity(experiment: Experiment, context: Context) -> Part:
    """How many interactions users have under every behavior."""
    found = describe(context.comparison.split)

    columns = ["behavior", "n_pairs", "mean_per_user", "median_per_user", "max_per_user"]
    table = Table(
        "Interactions per user",
        ["behavior", "pairs", "mean", "median", "most"],
        cells_of(found.behaviors.select(columns)),
    )
    return Part(
        experiment.name,
        experiment.title,
        [table],
        {"numbers": found.activity},
        drawings={"activity": partial(draw_activity, found)},
    )


def overlaps(experiment: Experiment, context: Context) -> Part:
    """How many pairs have exactly which behaviors."""
    found = describe(context.comparison.split)

    shown = found.overlaps.select("subset", "n_pairs", "n_users").sort("n_pairs", descending=True)
    table = Table("Pairs and users", ["exactly these behaviors", "pairs", "users"], cells_of(shown))
    return Part(
        experiment.name,
        experiment.title,
        [table],
        {"numbers": found.overlaps},
        drawings={"overlaps": partial(draw_overlaps, found)},
    )
