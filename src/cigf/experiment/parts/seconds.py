"""What an epoch takes."""

import json
import time
from functools import partial

import numpy as np
import polars as pl

from cigf.evaluation.evaluator import evaluation_task
from cigf.experiment.experiments import Experiment
from cigf.experiment.parts.context import Context, frame_part, trained
from cigf.inference.artifact import load_artifact
from cigf.ranking import rank_counts
from cigf.reports.page import Cell, Table
from cigf.reports.plots import Curve, Plot
from cigf.reports.reproduction import Part


def seconds(experiment: Experiment, context: Context) -> Part:
    """Seconds per epoch of training, and of ranking the test pairs."""
    task = evaluation_task(context.comparison.split)
    rows = []
    for label, folders in trained(context):
        for folder in folders:
            lines = (folder.run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
            epochs = [json.loads(line)["seconds"] for line in lines]
            artifact = load_artifact(folder.run)
            began = time.perf_counter()
            task.run(partial(rank_counts, artifact.scorer()))
            tested = time.perf_counter() - began
            # The first epoch also warms up.
            rows.append(
                {"model": label, "train": float(np.mean(epochs[1:] or epochs)), "test": tested}
            )
    frame = pl.DataFrame(rows, schema={"model": pl.String, "train": pl.Float64, "test": pl.Float64})
    means = frame.group_by("model", maintain_order=True).agg(
        pl.col("train", "test").mean(), n_seeds=pl.len()
    )
    shown: list[list[Cell]] = []
    for label, train, test, n_seeds in means.rows():
        published = (context.paper and context.paper.seconds(label)) or (None, None)
        paper = [None if each is None else f"{each:.2f}" for each in published]
        shown.append([label, f"{train:.2f}", f"{test:.2f}", *paper, n_seeds])
    header = ["model", "training epoch", "test epoch", "paper, training", "paper, test", "seeds"]
    names = means["model"].to_list()
    plot = Plot(
        name="seconds",
        title="Seconds per epoch",
        x_label="model",
        y_label="seconds",
        places=names,
        curves=[
            Curve("training epoch", means["train"].to_list()),
            Curve("test epoch", means["test"].to_list()),
        ],
    )
    table = Table("Seconds, on this machine", header, shown)
    return frame_part(experiment, table, frame, *([plot] if names else []))
