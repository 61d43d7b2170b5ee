"""cigf similar."""

from typing import Annotated

import typer

from cigf.cli.options import Json, RunArgument
from cigf.cli.output import print_json
from cigf.errors import ConfigError


def similar(
    run: RunArgument,
    item: Annotated[str | None, typer.Option("--item", help="Id of an item.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="Id of a user.")] = None,
    k: Annotated[int, typer.Option("--k", min=1, help="How many.")] = 10,
    json: Json = False,
) -> None:
    """Find the items nearest to an item, or the users nearest to a user."""
    if (item is None) == (user is None):
        raise ConfigError("give exactly one of --item ID and --user ID")
    from cigf.cli.tables import print_frame
    from cigf.inference.recommender import TrainedRecommender

    recommender = TrainedRecommender.load(run)
    if item is not None:
        frame = recommender.similar_items(item, k)
    else:
        frame = recommender.similar_users(user, k)
    if json:
        print_json(frame.to_dicts())
    else:
        print_frame(frame)
