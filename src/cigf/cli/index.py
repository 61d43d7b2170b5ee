"""cigf index."""

from typing import Annotated

import typer

from cigf.cli.options import Behavior, Force, RunArgument
from cigf.cli.output import say


def index(
    run: RunArgument,
    behavior: Behavior = None,
    n_probes: Annotated[
        int | None,
        typer.Option(
            "--probes",
            min=1,
            help="Cells to look into for a list: more find more, and take longer.",
            show_default="a 64th of them",
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Add an index to a trained model, for lists from very many items (extra: ann).

    cigf serve uses it from 100,000 items on; below, looking at all of them is quick enough.

    Example: cigf index RUN
    """
    from cigf.inference.indexing import index_artifact

    path, about = index_artifact(run, behavior, n_probes=n_probes, force=force)
    say(f"Wrote {path}: recall of the best 10 by score {about.recall:.3f} on {about.users} users")
