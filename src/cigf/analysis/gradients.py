"""Do the behaviors pull a model's representations in different directions?

Section 3.3 of Guo et al., WWW 2023: where all tasks share one input, the gradients that they send
into it are added up although they may point against each other; with one input per expert
(MESI), each expert hears a task only as much as that task's gate uses it. What is measured here
is the angle between two tasks' gradients on the same vector.

Axes: u users of a batch, I items, T inputs of the head, D embedding size, V = u + I nodes.
"""

from itertools import combinations
from typing import Any

import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from cigf.data.behaviors import Behaviors
from cigf.graph.bipartite import BehaviorGraph
from cigf.models.base import Recommender, Representations
from cigf.shapes import Batch

_SCHEMA = {
    "input": pl.String,
    "first": pl.String,
    "second": pl.String,
    "cosine": pl.Float64,
    "conflicting": pl.Float64,
    "n_nodes": pl.Int64,
}


def gradient_conflicts(
    model: Recommender, graph: BehaviorGraph, batch: Batch, behaviors: Behaviors
) -> pl.DataFrame:
    """Compare the gradients of every two behaviors' losses on each input of the head.

    Args:
        model: Any model with one loss per behavior; its parameters and gradients stay as they are.
        graph: The training graph.
        batch: Sampled pairs of all behaviors.
        behaviors: Their names.

    Returns:
        One row per input and pair of behaviors. Columns input (the behavior whose representation
        it is; its number where the model has others), first, second, cosine (mean over the nodes
        that both losses reach; null where there are none), conflicting (share of these nodes
        where it is negative), n_nodes.
    """
    with torch.no_grad():
        encoded = model.encode(graph, batch.users)
    inputs = tuple(side.detach().requires_grad_() for side in (encoded.users, encoded.items))
    with torch.enable_grad():
        losses = model.loss(Representations(inputs[0], inputs[1]), batch)
        gradients = [_gradient(loss, inputs) for loss in losses]
    n_inputs = inputs[0].shape[1]
    named = n_inputs == len(behaviors)
    names = behaviors.names if named else tuple(str(number + 1) for number in range(n_inputs))
    rows = [
        {
            "input": names[place],
            "first": behaviors.names[first],
            "second": behaviors.names[second],
            **_compare(gradients[first][:, place], gradients[second][:, place]),
        }
        for place in range(n_inputs)
        for first, second in combinations(range(len(gradients)), 2)
    ]
    return pl.DataFrame(rows, schema=_SCHEMA)


def _gradient(loss: Tensor, inputs: tuple[Tensor, ...]) -> Float[Tensor, "V T D"]:
    found = torch.autograd.grad(loss, inputs, retain_graph=True, allow_unused=True)
    pairs = zip(found, inputs, strict=True)
    return torch.cat([torch.zeros_like(x) if grad is None else grad for grad, x in pairs])


def _compare(first: Float[Tensor, "V D"], second: Float[Tensor, "V D"]) -> dict[str, Any]:
    reached = first.any(1) & second.any(1)
    if not reached.any():
        return {"cosine": None, "conflicting": None, "n_nodes": 0}
    # In float64, and each scaled first: squares of small gradients underflow.
    one, other = (_directions(each[reached]) for each in (first, second))
    cosines = (one * other).sum(1)
    return {
        "cosine": cosines.mean().item(),
        "conflicting": (cosines < 0).double().mean().item(),
        "n_nodes": len(cosines),
    }


def _directions(x: Float[Tensor, "n D"]) -> Float[Tensor, "n D"]:
    scaled = x.double() / x.double().abs().amax(1, keepdim=True)
    lengths: Tensor = torch.linalg.vector_norm(scaled, dim=1, keepdim=True)
    return scaled / lengths
