"""Relations of CIGCN by attention weight: which chains of behaviors count (the paper's table 6).

A relation of order l is a chain of behaviors (k, j_2, ..., j_l). Its weight for a user is the
product of her attention weights along it, a_k^2[j_2] ... a_k^l[j_l] (Guo et al., WWW 2023, eqs. 8
and 9, section 4.5.3); with several heads the weights are summed over the heads first, as the
layers are. Axes: n users, B behaviors, D embedding size.
"""

from collections.abc import Iterator
from itertools import product

import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from cigf.data.behaviors import Behaviors
from cigf.errors import ConfigError
from cigf.models.base import Recommender
from cigf.models.cigf import CIGF

_USERS_AT_ONCE = 4096


def has_relations(model: Recommender) -> bool:
    """Tell whether a model weighs relations: CIGF with interacting chains of two layers or more."""
    return (
        isinstance(model, CIGF)
        and model.config.chain != "independent"
        and model.config.n_layers >= 2
    )


@torch.no_grad()
def relation_table(
    model: Recommender, behaviors: Behaviors, user: int | None = None
) -> pl.DataFrame:
    """Return the weight of every relation of order 2 and more.

    Args:
        model: A CIGF with chains that interact.
        behaviors: Their names.
        user: Also the weights of this user.

    Returns:
        Columns order; relation (k, j_2, ..., j_l); walk (the same behaviors in the order in which
        one goes from the user along the edges); average (mean weight over all users); with `user`
        also weight (hers).

    Raises:
        ConfigError: The model has no relations.
    """
    if not isinstance(model, CIGF) or not has_relations(model):
        raise ConfigError(
            "this model weighs no relations; they belong to cigf with n_layers of at least 2 and "
            "chain reference or paper"
        )
    columns = {"average": _average(model)}
    if user is not None:
        hers = relation_weights(model, model.user_embedding[user : user + 1])
        columns["weight"] = [order[0] for order in hers]
    tables = [
        _order(
            model, behaviors, number, {name: parts[number - 2] for name, parts in columns.items()}
        )
        for number in range(2, model.config.n_layers + 1)
    ]
    return pl.concat(tables)


def relation_weights(model: CIGF, users: Float[Tensor, "n D"]) -> Iterator[Float[Tensor, "n _"]]:
    """Yield, for order 2, 3, ..., each user's weights of the relations in the order of `product`.

    Args:
        model: The model.
        users: Embeddings of some users.
    """
    n_behaviors = model.convolution.attention.n_behaviors
    weights = users.new_ones(len(users), n_behaviors, 1)
    for layer in range(2, model.config.n_layers + 1):
        by_graph = model.convolution.attention(users, layer).sum(1)
        weights = (weights[:, :, :, None] * by_graph[:, :, None, :]).flatten(2)
        yield weights.flatten(1)


def _average(model: CIGF) -> list[Tensor]:
    """Mean weights over all users, by order."""
    users = model.user_embedding
    blocks = [
        [order.double().sum(0) for order in relation_weights(model, block)]
        for block in torch.split(users, _USERS_AT_ONCE)
    ]
    return [torch.stack(sums).sum(0) / len(users) for sums in zip(*blocks, strict=True)]


def _order(
    model: CIGF, behaviors: Behaviors, order: int, columns: dict[str, Tensor]
) -> pl.DataFrame:
    relations = [list(names) for names in product(behaviors.names, repeat=order)]
    # The reference chain begins with the hop farthest from the node, the paper's with the nearest.
    walks = [
        relation[::-1] if model.config.chain == "reference" else relation[:1] + relation[:0:-1]
        for relation in relations
    ]
    numbers = {name: values.double().cpu().numpy() for name, values in columns.items()}
    return pl.DataFrame({"order": order, "relation": relations, "walk": walks, **numbers})


def top_and_bottom(relations: pl.DataFrame, n: int = 3, by: str = "average") -> pl.DataFrame:
    """Return the n heaviest and the n lightest relations of each order (the form of table 6).

    Args:
        relations: As `relation_table` returns them.
        n: How many from each end; where an order has fewer than 2 n, none stands twice.
        by: Which weight decides.

    Returns:
        The columns of `relations` and rank, from 1 for the heaviest of its order; by order, rank.
    """
    ranked = relations.with_columns(
        rank=pl.col(by).rank("ordinal", descending=True).over("order").cast(pl.Int32),
        size=pl.len().over("order"),
    )
    ends = (pl.col("rank") <= n) | (pl.col("rank") > pl.col("size") - n)
    return ranked.filter(ends).drop("size").sort("order", "rank")
