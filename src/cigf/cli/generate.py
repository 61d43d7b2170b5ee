"""cigf data generate."""

from typing import Annotated

import typer

from cigf.cli.options import Force, Out, Seed, words
from cigf.cli.output import print_next, say


def generate(
    out: Out,
    users: Annotated[int, typer.Option(help="How many users.")] = 2000,
    items: Annotated[int, typer.Option(help="How many items.")] = 800,
    interactions: Annotated[int, typer.Option(help="How many events.")] = 100_000,
    behaviors: Annotated[
        str, typer.Option(help="Behaviors in funnel order, the target last.")
    ] = "view,cart,buy",
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Generate a shop's event log with planted tastes, to try things on.

    Example: cigf data generate --users 2000 --items 800 --interactions 100000 --out events.csv
    """
    from cigf.cli.tables import check_output, write_table
    from cigf.data.synthetic import generate_log
    from cigf.seeding import numpy_generator

    check_output(out, force)
    generator = numpy_generator(seed, "generate")
    log = generate_log(users, items, interactions, words(behaviors) or (), generator=generator)
    write_table(log, out, force)
    say(f"Wrote {out}: {log.height:,} events")
    print_next(f"cigf data prepare {out} --behaviors {behaviors} --out DATASET")
