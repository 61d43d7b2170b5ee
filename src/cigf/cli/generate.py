"""cigf data generate."""

from typing import Annotated

import typer

from cigf.cli.options import Force, Out, Seed, words
from cigf.cli.output import print_next, say
from cigf.errors import ConfigError


def generate(
    out: Out,
    users: Annotated[int, typer.Option(help="How many users.")] = 2000,
    items: Annotated[int, typer.Option(help="How many items.")] = 800,
    interactions: Annotated[int, typer.Option(help="How many events.")] = 100_000,
    behaviors: Annotated[
        str, typer.Option(help="Behaviors in funnel order, the target last.")
    ] = "view,cart,buy",
    files: Annotated[
        int | None,
        typer.Option(min=1, help="Write a folder of so many Parquet files.", show_default=False),
    ] = None,
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Generate a shop's event log of any size with planted tastes, to try things on.

    Example: cigf data generate --users 2000 --items 800 --interactions 100000 --out events.csv
    """
    from itertools import pairwise

    from cigf.cli.row_progress import RowProgress
    from cigf.cli.writing import check_output, write_parts, write_pieces
    from cigf.data.synthetic import stream_log
    from cigf.storage import refuse_existing

    if files is None:
        check_output(out, force)
    elif files > interactions:
        raise ConfigError(f"--files {files}: more than the {interactions} events; give fewer")
    else:
        refuse_existing(out, force)
    log = stream_log(users, items, interactions, words(behaviors) or (), seed=seed)
    with RowProgress(interactions) as progress:
        if files is None:
            write_pieces(progress.watch(log), out, force)
        else:
            bounds = [interactions * part // files for part in range(files + 1)]
            sizes = [end - start for start, end in pairwise(bounds)]
            write_parts(progress.watch(log), sizes, out, force)
    say(f"Wrote {out}: {interactions:,} events")
    print_next(f"cigf data prepare {out} --behaviors {behaviors} --out DATASET")
