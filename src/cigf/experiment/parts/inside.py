"""What trained models do inside: relations, gates, gradients."""

import polars as pl

from cigf.analysis.gates import expert_utilization
from cigf.analysis.gradients import gradient_conflicts
from cigf.analysis.relations import has_relations, relation_table, top_and_bottom
from cigf.experiment.cells import CellFolder
from cigf.experiment.config import load_experiment
from cigf.experiment.experiments import Experiment
from cigf.experiment.parts.context import Context, cells_of, frame_part, over_cells
from cigf.inference.artifact import Artifact
from cigf.reports.page import Table
from cigf.reports.plots import Curve, Plot
from cigf.reports.reproduction import Part
from cigf.sampling.build import build_sampler


def relations(experiment: Experiment, context: Context) -> Part:
    """The heaviest and the lightest relations."""

    def table(artifact: Artifact, _: CellFolder) -> pl.DataFrame:
        if not has_relations(artifact.model):
            return pl.DataFrame()
        found = relation_table(artifact.model, artifact.history.behaviors)
        walk = pl.col("walk").list.join(" → ")
        return found.select("order", walk.alias("relation"), "average")

    averaged = over_cells(context, table, ("order", "relation"))
    if not averaged.height:
        return frame_part(experiment, Table("Nothing was trained", ["relation"], []), averaged)
    ends = top_and_bottom(averaged)
    shown = ends.select("relation", "order", "rank", "average")
    header = ["relation, as one goes from a user", "order", "rank", "mean weight"]
    plot = Plot(
        name="relations",
        title="Heaviest and lightest relations of each order",
        x_label="relation",
        y_label="mean attention weight",
        places=ends["relation"].to_list(),
        curves=[Curve("weight", ends["average"].to_list())],
    )
    table_shown = Table("The three heaviest and lightest of each order", header, cells_of(shown))
    return frame_part(experiment, table_shown, averaged, plot)


def gates(experiment: Experiment, context: Context) -> Part:
    """What the target's gate gives to every expert."""
    split = context.comparison.split
    target = split.train.behaviors.target_name
    pairs = split.test[target]

    def table(artifact: Artifact, _: CellFolder) -> pl.DataFrame:
        return expert_utilization(
            artifact.model,
            artifact.representations,
            pairs.users,
            pairs.items,
            artifact.history.behaviors,
            [target],
        ).drop("task")

    frame = over_cells(context, table, ("expert",))
    plots = []
    for head in frame["model"].unique(maintain_order=True) if frame.height else []:
        own = frame.filter(pl.col("model") == head)
        plots.append(
            Plot(
                name=f"experts-{head.lower()}",
                title=f"{head}: experts of {target}",
                x_label="expert",
                y_label=f"mean weight in the gate of {target} (share)",
                places=own["expert"].to_list(),
                curves=[Curve("weight", own["weight"].to_list(), own["deviation"].to_list())],
            )
        )
    header = ["head", "expert", "mean weight", "deviation over pairs", "seeds"]
    return frame_part(
        experiment, Table(f"Gate of {target}", header, cells_of(frame)), frame, *plots
    )


def gradients(experiment: Experiment, context: Context) -> Part:
    """How far the behaviors' gradients on each input agree."""

    def table(artifact: Artifact, folder: CellFolder) -> pl.DataFrame:
        config = load_experiment(folder.config)
        model = artifact.model
        sampler = build_sampler(
            artifact.learned.interactions, config.sampling, config.seed, learns=model.learns
        )
        batch = next(sampler.epoch(0))
        return gradient_conflicts(model, artifact.graph, batch, artifact.history.behaviors)

    frame = over_cells(context, table, ("input", "first", "second"))
    header = ["head", "input", "first", "second", "mean cosine", "share below 0", "seeds"]
    plots = [_gradient_plot(frame)] if frame.height else []
    return frame_part(
        experiment, Table("Cosines of gradients", header, cells_of(frame)), frame, *plots
    )


def _gradient_plot(frame: pl.DataFrame) -> Plot:
    pairs = frame.with_columns(pair=pl.col("first") + " and " + pl.col("second"))
    means = pairs.group_by("model", "pair", maintain_order=True).agg(pl.col("cosine").mean())
    places = means["pair"].unique(maintain_order=True).to_list()
    curves = []
    for head in means["model"].unique(maintain_order=True):
        own = dict(means.filter(pl.col("model") == head).select("pair", "cosine").rows())
        curves.append(Curve(head, [own.get(place) for place in places]))
    return Plot(
        name="gradients",
        title="Do the behaviors' gradients agree?",
        x_label="behaviors",
        y_label="cosine of their gradients (mean over inputs)",
        places=places,
        curves=curves,
    )
