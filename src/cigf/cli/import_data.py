"""cigf data import."""

from pathlib import Path
from typing import Annotated

import typer

from cigf.cli.options import Force, Json, OnError, Out, SplitName, given, pairs, words


def import_data(
    release_format: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT",
            help="mbgmn (pickled matrices), ghcf (adjacency lists) or recbole (.inter).",
        ),
    ],
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The published folder or file.")],
    out: Out,
    behaviors: Annotated[
        str | None,
        typer.Option(help="Behaviors in funnel order, the last is the target.", show_default="all"),
    ] = None,
    target: Annotated[str | None, typer.Option(help="Predict this behavior instead.")] = None,
    ratings: Annotated[
        str | None,
        typer.Option(
            help="What the ratings of a log mean.",
            show_default="dislike:1-2,neutral:3,like:4-5",
        ),
    ] = None,
    map_: Annotated[
        str | None, typer.Option("--map", help="Names in the files to behaviors: pv=view.")
    ] = None,
    split: SplitName = None,
    min_interactions: Annotated[
        int | None, typer.Option(min=1, help="Keep users and items with so many.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the split.")] = None,
    on_error: OnError = "fail",
    force: Force = False,
    json: Json = False,
) -> None:
    """Make a dataset from published data. Pickles are read without running what is in them.

    Example: cigf data import recbole ml-100k.inter --out DATASET
    """
    from cigf.cli.prepared import print_prepared
    from cigf.data.imports import ImportOptions, import_release

    chosen = given(
        behaviors=words(behaviors),
        target=target,
        ratings=ratings,
        mapping=pairs("--map", map_),
        split=split,
        min_interactions=min_interactions,
        seed=seed,
        on_error=on_error,
        force=force,
    )
    report = import_release(release_format, path, out, ImportOptions.parse(chosen))
    print_prepared(out, report, json)
