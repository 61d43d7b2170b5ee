"""cigf data describe."""

from pathlib import Path
from typing import Annotated

import typer

from cigf.cli.options import DatasetArgument, Json
from cigf.cli.output import print_json, print_table, say


def describe(
    dataset: DatasetArgument,
    figures: Annotated[
        Path | None, typer.Option(help="Also draw the figures (SVG, PNG) into this folder.")
    ] = None,
    json: Json = False,
) -> None:
    """Count what a dataset holds: users, items, pairs, densities, overlaps of behaviors."""
    from cigf.data.dataset_store import load_split
    from cigf.data.describe import describe as count

    description = count(load_split(dataset))
    if figures is not None:
        from cigf.reports.figures import save_description

        for path in save_description(description, figures):
            say(f"Wrote {path}")
    if json:
        print_json(description.to_json())
        return
    held_out = description.held_out
    print_table(
        ("behavior", "pairs", "density", "users", "items", "mean", "median", "max", "also target"),
        description.behaviors.select(
            "behavior",
            "n_pairs",
            "density",
            "n_users",
            "n_items",
            "mean_per_user",
            "median_per_user",
            "max_per_user",
            "target_share",
        ).rows(),
        title=f"{dataset}: {description.n_users:,} users, {description.n_items:,} items",
    )
    overlaps = description.overlaps.select("subset", "n_pairs", "n_users")
    print_table(("exactly these behaviors", "pairs", "users"), overlaps.rows())
    print_table(("held out", "behavior", "pairs", "users"), held_out.rows())
    say(f"Split: {description.split}")
