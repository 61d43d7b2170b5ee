"""cigf demo."""

from pathlib import Path
from typing import Annotated

import typer

from cigf.cli.options import Force, Seed
from cigf.cli.output import print_next, say

SETTINGS = ("training.epochs=60", "training.learning_rate=0.003", "model.score_scale=30")
"""Chosen for a good model within seconds on a log of this size."""


def demo(
    out: Annotated[Path, typer.Option(help="Folder for all that the demo makes.")] = Path(
        "cigf-demo"
    ),
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Show everything once on a synthetic log, in well under a minute.

    Generates the event log of a shop, prepares it, trains CIGF, judges it beside popularity and
    the touched-first rule, recommends, and writes a report.
    """
    from cigf.cli.demo_steps import DemoFolder, judge, learn, make_dataset, make_log, recommend
    from cigf.storage import refuse_existing

    refuse_existing(out, force)
    folder = DemoFolder(out)
    say("1. An event log of a shop: views, carts and purchases, with planted tastes")
    make_log(folder, seed)
    say("\n2. Prepared: ids checked, repeated events dropped, each user's last purchase held out")
    make_dataset(folder)
    say("\n3. Training CIGF")
    learn(folder, SETTINGS, seed)
    say("\n4. Judged on the held-out purchases, beside popularity and the touched-first rule")
    judge(folder)
    say("\n5. Recommendations for a few users, and a report of everything")
    recommend(folder)
    say(f"\nWrote {out}: open {folder.report} in a browser")
    say("For a log of your own, with columns user_id, item_id, behavior and perhaps timestamp:")
    print_next(
        "cigf data prepare EVENTS.csv --behaviors view,cart,buy --out DATASET",
        "cigf train DATASET --out RUN",
        "cigf evaluate RUN",
        "cigf recommend RUN --all --k 10 --out recs.parquet",
        "cigf report RUN --out report.html",
    )
