"""cigf data fetch."""

from pathlib import Path
from typing import Annotated

import typer

from cigf.cli.options import Force, Json, Out, SplitName, given, words


def fetch(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="beibei or tmall (downloaded); taobao or ijcai15 (with --from-file).",
        ),
    ],
    out: Out,
    from_file: Annotated[
        Path | None,
        typer.Option(help="The data as you downloaded it, where it stands behind a login."),
    ] = None,
    behaviors: Annotated[
        str | None,
        typer.Option(help="Behaviors in funnel order, the last is the target.", show_default="all"),
    ] = None,
    split: SplitName = None,
    min_interactions: Annotated[
        int | None, typer.Option(min=1, help="Keep users and items with so many.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Download a published data set and make a dataset of it; resumes where it broke off.

    Example: cigf data fetch beibei --out DATASET
    """
    from cigf.cli.downloads import DownloadProgress
    from cigf.cli.output import say
    from cigf.cli.prepared import print_prepared
    from cigf.data.catalog import find_published
    from cigf.data.download import fetch as fetch_published
    from cigf.data.imports import ImportOptions

    entry = find_published(name)
    say(f"{entry.title}\nTerms: {entry.terms}")
    chosen = given(
        behaviors=words(behaviors), split=split, min_interactions=min_interactions, force=force
    )
    with DownloadProgress() as progress:
        report = fetch_published(
            name,
            out,
            from_file=from_file,
            options=ImportOptions.parse(chosen),
            progress=progress,
        )
    print_prepared(out, report, json)
