"""cigf data prepare."""

from typing import Annotated

import typer

from cigf.cli.log_options import Log, reads_log
from cigf.cli.options import Force, Json, Out, SplitName, given, words

_CUT = "How it is cleaned and split"


@reads_log
def prepare(
    out: Out,
    behaviors: Annotated[
        str | None,
        typer.Option(
            help="Behaviors in funnel order, the last is the target.",
            show_default="view,cart,buy",
        ),
    ] = None,
    target: Annotated[str | None, typer.Option(help="Predict this behavior instead.")] = None,
    test: Annotated[
        str | None, typer.Option(help="File of held-out target pairs: user_id, item_id.")
    ] = None,
    *,
    log: Log,
    split: SplitName = None,
    min_interactions: Annotated[
        int | None,
        typer.Option(rich_help_panel=_CUT, min=1, help="Keep users and items with so many."),
    ] = None,
    min_behavior: Annotated[
        str | None, typer.Option(rich_help_panel=_CUT, help="Count this behavior only.")
    ] = None,
    test_share: Annotated[
        float | None,
        typer.Option(rich_help_panel=_CUT, min=0, max=1, help="Of --split time and random."),
    ] = None,
    valid_share: Annotated[
        float | None,
        typer.Option(rich_help_panel=_CUT, min=0, max=1, help="Of users who give a pair to it."),
    ] = None,
    hold_out: Annotated[
        str | None, typer.Option(rich_help_panel=_CUT, help="Also hold out these behaviors.")
    ] = None,
    candidate_seed: Annotated[
        int | None, typer.Option(rich_help_panel=_CUT, min=0, help="Of the 99 candidates.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(rich_help_panel=_CUT, min=0, help="Of the split.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Make a dataset from an event log: user, item, behavior and perhaps time in each row.

    Example: cigf data prepare events.csv.gz --behaviors view,cart,buy --out DATASET
    """
    from cigf.cli.prepared import print_prepared
    from cigf.data.options import PrepareOptions
    from cigf.data.prepare import prepare as prepare_dataset

    chosen = given(
        behaviors=words(behaviors),
        target=target,
        split=split,
        min_interactions=min_interactions,
        min_behavior=min_behavior,
        test_share=test_share,
        valid_share=valid_share,
        hold_out=words(hold_out),
        candidate_seed=candidate_seed,
        seed=seed,
        force=force,
    )
    options = PrepareOptions.parse({**log.options, **chosen})
    report = prepare_dataset(log.sources, out, options, test)
    print_prepared(out, report, json)
