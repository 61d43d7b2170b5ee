"""cigf explain."""

from typing import TYPE_CHECKING, Annotated

import typer

from cigf.cli.options import Behavior, Json, RunArgument
from cigf.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from cigf.analysis.explanation import Explanation


def explain(
    run: RunArgument,
    user: Annotated[str, typer.Option("--user", help="Id of a user.")],
    item: Annotated[
        str | None,
        typer.Option("--item", help="Id of an item.", show_default="her first recommendation"),
    ] = None,
    behavior: Behavior = None,
    k: Annotated[int, typer.Option("--k", min=1, help="Most paths and relations.")] = 5,
    json: Json = False,
) -> None:
    """Say why a user gets an item: the gate, the relations, and the paths behind the score.

    The shares of a score are exact: attention and gate held fixed, they add up to it.
    """
    from cigf.inference.recommender import TrainedRecommender

    found = TrainedRecommender.load(run).explain(user, item, behavior=behavior, k=k)
    if json:
        print_json(found.to_json())
    else:
        print_explanation(found, k)


def print_explanation(found: "Explanation", k: int) -> None:
    """Print the paths, what layers and experts bring, and the heaviest relations."""
    paths = [(row["text"], row["share"]) for row in found.paths.iter_rows(named=True)]
    title = f"user {found.user}, item {found.item}: {found.behavior} score {found.score:.4f}"
    print_table(("because", "share"), paths, title=title)
    rest = found.shares["share"].sum() - sum(share for _, share in paths)
    say(f"All other paths together: {rest:+.4f}; all shares add up to the score.")
    layers = [
        ("her own embedding" if layer == 0 else f"what she did, layer {layer}", share)
        for layer, share in found.layers.iter_rows()
    ]
    print_table(("from", "share"), layers)
    if found.experts.height:
        print_table(("expert", "gate", "share"), found.experts.rows())
    if found.relations.height:
        heaviest = found.relations.group_by("order", maintain_order=True).head(k)
        rows = [
            (order, " > ".join(walk), weight, average)
            for order, walk, weight, average in heaviest.select(
                "order", "walk", "weight", "average"
            ).iter_rows()
        ]
        print_table(("order", "relation, from the user on", "weight", "average user"), rows)
