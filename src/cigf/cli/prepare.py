"""cigf data prepare."""

from typing import Annotated

import typer

from cigf.cli.options import Force, Json, OnError, Out, SplitName, given, pairs, words
from cigf.errors import ConfigError

_HOW = "How the log is read"
_CUT = "How it is cleaned and split"


def prepare(
    out: Out,
    events: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="EVENTS",
            help="Files, folders or globs (CSV, TSV, Parquet, JSON Lines, SQLite; .gz and .zst), "
            "or database URIs.",
        ),
    ] = None,
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
    map_: Annotated[
        str | None,
        typer.Option("--map", rich_help_panel=_HOW, help="Values to behaviors: pv=view,fav=cart."),
    ] = None,
    user_col: Annotated[
        str | None, typer.Option(rich_help_panel=_HOW, help="Column of the user ids.")
    ] = None,
    item_col: Annotated[
        str | None, typer.Option(rich_help_panel=_HOW, help="Column of the item ids.")
    ] = None,
    behavior_col: Annotated[
        str | None, typer.Option(rich_help_panel=_HOW, help="Column of the behaviors.")
    ] = None,
    time_col: Annotated[
        str | None, typer.Option(rich_help_panel=_HOW, help='Column of the times; "" does without.')
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(rich_help_panel=_HOW, help="Column names of CSV files without a header."),
    ] = None,
    default_behavior: Annotated[
        str | None,
        typer.Option(rich_help_panel=_HOW, help="Behavior of logs that have no such column."),
    ] = None,
    query: Annotated[
        str | None, typer.Option(rich_help_panel=_HOW, help="SQL query for databases.")
    ] = None,
    connection: Annotated[
        str | None,
        typer.Option(rich_help_panel=_HOW, help="Database URI, such as sqlite:///shop.db."),
    ] = None,
    on_error: OnError = "fail",
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

    sources = [*(events or []), *([connection] if connection else [])]
    if not sources:
        raise ConfigError("EVENTS: none given; name at least one file, or a --connection")
    chosen = given(
        behaviors=words(behaviors),
        target=target,
        mapping=pairs("--map", map_),
        user_col=user_col,
        item_col=item_col,
        behavior_col=behavior_col,
        time_col=time_col,
        column_names=words(columns),
        default_behavior=default_behavior,
        on_error=on_error,
        query=query,
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
    report = prepare_dataset(sources, out, PrepareOptions.parse(chosen), test)
    print_prepared(out, report, json)
