"""cigf recommend."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cigf.cli.log_options import reads_log
from cigf.cli.options import Behavior, Json, RunArgument, words
from cigf.cli.output import print_json, say, warn_all
from cigf.cli.ranks import Team, team
from cigf.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

    from cigf.inference.recommender import TrainedRecommender


@reads_log
def recommend(
    run: RunArgument,
    user: Annotated[
        list[str] | None, typer.Option("--user", help="Id of a user; repeatable.")
    ] = None,
    users: Annotated[
        Path | None,
        typer.Option(help="File of user ids: one per line, or a table with a user_id column."),
    ] = None,
    all_users: Annotated[bool, typer.Option("--all", help="All users of the model.")] = False,
    events: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EVENTS",
            help="Event log of known or unknown users: they are recommended to by what they did "
            "there and before, without training again; repeatable.",
        ),
    ] = None,
    k: Annotated[int, typer.Option("--k", min=1, help="Length of each list.")] = 10,
    only: Annotated[
        Literal["all", "new", "touched"],
        typer.Option(
            help="new: items the user has not touched; touched: those she has, under another "
            "behavior."
        ),
    ] = "all",
    behavior: Behavior = None,
    exclude: Annotated[
        str | None,
        typer.Option(
            help="Leave out items the user has under these behaviors.",
            show_default="the behavior to predict",
        ),
    ] = None,
    allow: Annotated[
        Path | None, typer.Option(help="File of item ids that may be recommended.")
    ] = None,
    deny: Annotated[
        Path | None, typer.Option(help="File of item ids that may not be recommended.")
    ] = None,
    scores: Annotated[
        str | None,
        typer.Option(help="Add the scores of these behaviors, such as cart,buy, as columns."),
    ] = None,
    fallback: Annotated[
        Literal["error", "popularity"], typer.Option(help="What unknown users get.")
    ] = "error",
    out: Annotated[
        Path | None, typer.Option(help="File to write: .parquet, .csv or .jsonl.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace --out if it exists.")] = False,
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        typer.Option(help="Where the lists of --all and --users are computed."),
    ] = "auto",
    json: Json = False,
    *,
    how: dict[str, object],
) -> None:
    """Recommend items to users.

    Example: cigf recommend RUN --all --k 10 --out recs.parquet
    """
    if [bool(user), users is not None, all_users, bool(events)].count(True) != 1:
        raise ConfigError("give exactly one of --user ID, --users FILE, --all and --events EVENTS")
    if not events and any({**how, "on_error": how["on_error"] != "fail"}.values()):
        raise ConfigError("options that say how the log is read need --events EVENTS")
    from cigf.cli.tables import print_frame, read_ids
    from cigf.cli.writing import check_output, write_table
    from cigf.experiment.devices import choose_device
    from cigf.inference.recommender import TrainedRecommender

    # For a few users a GPU takes longer to wake up than the lists take.
    chosen = choose_device(device if all_users or users is not None else "cpu")
    options: dict[str, Any] = {
        "only": only,
        "behavior": behavior,
        "exclude": words(exclude),
        "allow": None if allow is None else read_ids(allow, "item_id"),
        "deny": None if deny is None else read_ids(deny, "item_id", may_be_empty=True),
        "scores": words(scores) or (),
        "fallback": fallback,
    }
    asked: Any = user or (None if users is None else read_ids(users, "user_id"))
    with team(chosen.type) as those:
        if out is not None and those.leads:
            check_output(out, force)
        recommender = TrainedRecommender.load(run, chosen)
        if events:
            frame = recommender.recommend_for(_read_events(events, how, recommender), k, **options)
        else:
            wanted = recommender.users if all_users else asked
            frame = _shared(those, wanted, lambda part: recommender.recommend(part, k, **options))
    if not those.leads:
        return
    if out is not None:
        write_table(frame, out, force)
        say(f"Wrote {out}: {frame.height:,} recommendations")
    elif json:
        print_json(frame.to_dicts())
    else:
        print_frame(frame)


def _shared(those: Team, users: Any, answer: "Callable[[Any], pl.DataFrame]") -> "pl.DataFrame":
    """Answer some users, every process its share of them; whole where this one leads."""
    if those.ranks is None:
        return answer(users)
    from io import BytesIO

    import polars as pl

    from cigf.distributed.ranking import share

    file = BytesIO()
    answer(users[share(len(users), those.ranks)]).write_ipc(file, compression="lz4")
    parts = those.ranks.everyone(file.getvalue())
    frames = [pl.read_ipc(BytesIO(part)) for part in parts if those.leads] or [pl.DataFrame()]
    # Unknown users' ids may have made text of those of one share alone.
    return pl.concat(frames, how="vertical_relaxed")


def _read_events(
    sources: list[str], how: dict[str, object], recommender: "TrainedRecommender"
) -> "pl.DataFrame":
    from cigf.data.options import ReadOptions
    from cigf.data.readers import read_events

    names = recommender.artifact.history.behaviors.names
    options = ReadOptions.parse({"behaviors": names, **how})
    log = read_events(sources, options)
    warn_all(log.warnings, log.dropped)
    return log.events
